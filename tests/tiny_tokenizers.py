"""Small tokenizers with the build of real ones: byte-level BPE, SentencePiece's, Gemma's, T5's."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from corll.model.tokens import TokenCodec
from corll.records import Sample
from tiny_models import CORPUS, END, build_tokenizer

END_ID = 0
"""The end of the tokenizers that `build_tokenizer` makes."""

BOS, EOS, TURN, DONE = "<s>", "</s>", "<|turn|>", "<|done|>"
SPECIAL = ["<unk>", BOS, EOS, TURN, DONE]
"""Of these the last two are known to the tokenizer as special, but not by a name."""

TURN_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|turn|>{{ m['role'] }}\n{{ m['content'] }}<|done|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
OTHER_SCRIPTS = (
    "Sehr geehrte Frau Müller, die Lieferung verzögert sich leider um zwei Tage. "
    "Kính gửi quý khách, chúng tôi rất tiếc vì gói hàng đến muộn. "
    "नमस्ते, आपका पार्सल शुक्रवार को पहुँचेगा। क़िला और ज़मीन के काग़ज़ भेज दिए हैं। "
    "您好，很抱歉您的包裹晚到了。我们会在星期五送到，请放心。 "
    "안녕하세요, 소포가 늦어서 죄송합니다. 금요일에 도착합니다. "
)


@cache
def _byte_level_bpe() -> str:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator([CORPUS, OTHER_SCRIPTS] * 4, _trainer(SPECIAL, alphabet, 800))
    return str(backend.to_str())


@cache
def _sentencepiece() -> str:
    """Pieces within words, each with the space before it, and bytes for all other characters."""
    backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    alphabet = sorted(set(CORPUS) - {" "} | {"▁", "\n"})
    special = SPECIAL + [f"<0x{byte:02X}>" for byte in range(256)]
    backend.train_from_iterator([CORPUS] * 4, _trainer(special, alphabet, 600))
    # The trainer calls bytes special too, which those of real tokenizers are not.
    parts = json.loads(backend.to_str())
    parts["added_tokens"] = [t for t in parts["added_tokens"] if t["content"] in SPECIAL]
    return json.dumps(parts)


def _trainer(special: list[str], alphabet: list[str], size: int) -> BpeTrainer:
    return BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )


def _tokenizer(backend: Tokenizer, template: str | None) -> PreTrainedTokenizerFast:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=BOS,
        eos_token=EOS,
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )
    if template is not None:
        tokenizer.chat_template = template
    return tokenizer


def byte_bpe(template: str | None = None, *, nfc: bool = False) -> PreTrainedTokenizerFast:
    """As GPT-2's and Llama 3's; with `nfc` as Qwen's, which composes characters."""
    backend = Tokenizer.from_str(_byte_level_bpe())
    if nfc:
        backend.normalizer = normalizers.NFC()
    return _tokenizer(backend, template)


def qwen_like(template: str | None = None) -> PreTrainedTokenizerFast:
    """As Qwen's."""
    return byte_bpe(template, nfc=True)


def llama2(template: str | None = None, *, prefix: str = "always") -> PreTrainedTokenizerFast:
    """As Llama 2's and Mistral's: one pre-token, and a dummy space before a text."""
    backend = Tokenizer.from_str(_sentencepiece())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prefix, split=False)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    strips = [] if prefix == "never" else [decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(steps + strips)
    return _tokenizer(backend, template)


def llama2_first(template: str | None = None) -> PreTrainedTokenizerFast:
    """As those of Llama 2 that put the dummy space before the first piece of a text alone."""
    return llama2(template, prefix="first")


def llama2_plain(template: str | None = None) -> PreTrainedTokenizerFast:
    """As those without a dummy space (`add_dummy_prefix=False`)."""
    return llama2(template, prefix="never")


def llama2_legacy(template: str | None = None) -> PreTrainedTokenizerFast:
    """As `tokenizer.json` files of Llama 2: a normalizer writes the spaces, the dummy one too."""
    tokenizer = llama2(template)
    backend = tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    parts = json.loads(backend.to_str()) | {"pre_tokenizer": None}
    return _tokenizer(Tokenizer.from_str(json.dumps(parts)), template)


def gemma(template: str | None = None) -> PreTrainedTokenizerFast:
    """As Gemma's: a normalizer writes the spaces, so the pre-tokenizer finds none to split at."""
    backend = Tokenizer.from_str(_sentencepiece())
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return _tokenizer(backend, template)


def with_ends_added(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The tokenizer as T5's and forks of Llama's are: it begins and ends what it encodes."""
    ids = [(token, tokenizer.convert_tokens_to_ids(token)) for token in (BOS, EOS)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{BOS} $A {EOS}", special_tokens=ids
    )
    return tokenizer


ALL: dict[str, Callable[..., Any]] = {
    "byte BPE": byte_bpe,
    "Qwen": qwen_like,
    "Llama 2": llama2,
    "Llama 2, first": llama2_first,
    "Llama 2, no dummy": llama2_plain,
    "Llama 2, legacy": llama2_legacy,
    "Gemma": gemma,
}


def codec_of(tokenizer: Any, *, eos: int | list[int] | None = None, **settings: Any) -> TokenCodec:
    """The codec of a model with this tokenizer; `eos` as in its generation settings."""
    model = SimpleNamespace(
        config=SimpleNamespace(max_position_embeddings=2048),
        generation_config=SimpleNamespace(eos_token_id=eos),
    )
    return TokenCodec.for_model(tokenizer, model, **settings)


@cache
def chat_codec() -> TokenCodec:
    return TokenCodec(build_tokenizer(chat=True), True, (END_ID,), 512)


@cache
def base_codec() -> TokenCodec:
    return TokenCodec(build_tokenizer(chat=False), False, (END_ID,), 512)


@cache
def byte_fallback_codec() -> TokenCodec:
    """As SentencePiece models are: no pre-tokenizer, spaces inside tokens, bytes for the rest."""
    letters = ["▁", *"abcdefghijklmnopqrstuvwxyz.,'"]
    pairs = [("▁", "p"), ("a", "r"), ("▁p", "ar"), ("c", "e"), ("ce", "l"), ("▁par", "cel")]
    pieces = [f"<0x{byte:02X}>" for byte in range(256)] + letters + ["".join(p) for p in pairs]
    vocab = {"</s>": 0, **{piece: n for n, piece in enumerate(pieces, start=1)}}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=pairs, byte_fallback=True))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")
    return TokenCodec(tokenizer, False, (0,), None)


@cache
def slow_codec() -> TokenCodec:
    """A tokenizer written in Python, which knows no offsets: one id a byte."""
    return TokenCodec(ByT5Tokenizer(), False, (1,), None)


def ids_of(codec: TokenCodec, text: str) -> tuple[int, ...]:
    return tuple(codec.tokenizer(text, add_special_tokens=False)["input_ids"])


def sampled(codec: TokenCodec, ids: Sequence[int], *, finished: bool = True) -> Sample:
    ids = (*ids, *((codec.end_ids[0],) if finished else ()))
    return Sample(codec.decode(ids), ids, -1.0, finished)


def beginning_with_the_end() -> Any:
    """A tokenizer that begins each text with the token that ends one, as GPT-2's may."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(base_codec().tokenizer.backend_tokenizer.to_str()),
        eos_token=END,
        bos_token=END,
    )
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{END} $A", special_tokens=[(END, END_ID)]
    )
    return tokenizer
