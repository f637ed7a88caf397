"""The policy: one base model and a LoRA adapter; it samples, scores, and knows its reference π_0.

π_0 is the adapter switched off, or a second, frozen adapter; never a second base model. Where all
weights learn instead (`trains="all"`), the policy is a copy of them and π_0 the model as loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from torch import Tensor

from corll.compute.choose import backend_for, examine
from corll.compute.decoding import Decoding
from corll.compute.engines import Sampler
from corll.compute.packing import Ids
from corll.compute.passes import Loss, Share
from corll.config import Int8Drafts, LoraConfig, SamplingConfig
from corll.errors import InputError
from corll.losses import implicit_reward
from corll.model.adapted_model import DEFAULT_SAMPLING, AdaptedModel, PackedItem
from corll.model.adapters import REFERENCE, AdapterSet
from corll.model.loading import load_model
from corll.model.mapped_weights import map_weights
from corll.model.tokens import TokenCodec
from corll.model.whole_copies import WholeCopies, holds_whole_copy
from corll.records import Exchange, Prompt, Response, Sample

__all__ = ["Loss", "PackedItem", "Policy", "Share"]

Trains = Literal["adapter", "all"]


class Policy(AdaptedModel):
    """A language model that can be taught, and the reference that it is held to.

    Load one by `Policy.load`; what it has beside its methods for texts stands at `AdaptedModel`.
    """

    @classmethod
    def load(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        dtype: str | None = None,
        device: str | None = None,
        adapter: str | os.PathLike[str] | None = None,
        reference: str | os.PathLike[str] | None = None,
        lora: LoraConfig | None = None,
        trains: Trains | None = None,
        chat_template: bool | None = None,
        enable_thinking: bool = False,
        memory_limit_gb: float = 4.0,
        shared_weights: str | os.PathLike[str] | None = None,
        backend: str | None = None,
        int8_drafts: Int8Drafts = False,
    ) -> Policy:
        """Load a base model and give it an adapter to learn with, or a copy of all its weights.

        `name_or_path` is a hub id, a folder, a `.gguf` file, or `smollm2-135m`. A new adapter
        (shaped by `lora`) changes nothing until it learns; `adapter` goes on with a saved one.
        `reference` names the folder of a frozen adapter to be π_0; the policy then starts as a
        copy of it unless `adapter` is given. Otherwise π_0 is the base. With `trains="all"` there
        is no adapter: a copy of all weights learns, in float32, π_0 is the model that was named,
        and `adapter` the folder of a saved copy; by default that folder says which of both it is.
        `dtype` and `device` are chosen for the machine; `chat_template` says whether prompts are
        rendered as a conversation, by default wherever the tokenizer can. `enable_thinking` is what
        the templates of hybrid thinkers (Qwen3) are told; a prompt of messages with
        `chat_template_kwargs` says it for itself. `shared_weights` names a
        folder for a file of the base's weights: processes on one CPU that name the same folder have
        them in memory once. `backend` names who computes (`corll.compute.choose`), by default
        whatever is quickest on the device. With `int8_drafts` texts are drawn by weights in int8,
        with None where that is quicker, with "small" there if the model is small; scores and steps
        are by the model's own.

        *Raises*: ModelNotFoundError, AdapterError, ConfigError.
        """
        if trains is None:
            trains = "all" if adapter is not None and holds_whole_copy(adapter) else "adapter"
        if trains == "all":
            dtype = dtype or "float32"
        base = load_model(name_or_path, dtype=dtype, device=device)
        if shared_weights is not None and trains == "adapter":
            map_weights(base, Path(shared_weights))
        codec = TokenCodec.for_model(
            base.tokenizer, base.model, chat=chat_template, enable_thinking=enable_thinking
        )
        kind = WholeCopies if trains == "all" else AdapterSet
        adapters = kind.create(base, lora=lora, adapter=adapter, reference=reference)
        engine = backend_for(base.model, backend)
        engine.use_int8_drafts(int8_drafts if trains == "adapter" else False)
        engine.prepare(frozen=trains == "adapter")
        network = examine(base.model, engine)
        return cls(base, adapters, codec, network, memory_limit_gb=memory_limit_gb)

    def with_adapter(
        self,
        adapter: str | os.PathLike[str] | None = None,
        *,
        lora: LoraConfig | None = None,
        reference: str | os.PathLike[str] | None = None,
    ) -> Policy:
        """Return another policy on the same base, for the adapter of another user.

        `adapter` is a saved one, else it is new, shaped by `lora` or like this policy's. Its π_0 is
        that of the first policy, or the frozen adapter in the folder `reference`, of which it then
        starts as a copy unless `adapter` is given. Where all weights learn it is a further copy of
        them. Policies that share a base take turns: whichever is used is switched to by itself; use
        one at a time. *Raises*: AdapterError, ConfigError.
        """
        frozen = None if reference is None else self.adapters.add_reference(reference)
        start = reference if adapter is None else adapter
        name = self.adapters.add(start, lora=lora or self.lora, reference=frozen)
        return self._sharing_the_base(name, self.memory_limit_gb)

    def within(self, memory_limit_gb: float) -> Policy:
        """Return the same policy, working within another limit; this one keeps its own."""
        if memory_limit_gb == self.memory_limit_gb:
            return self
        return self._sharing_the_base(self.adapter, memory_limit_gb)

    def _sharing_the_base(self, adapter: str, limit_gb: float) -> Policy:
        parts = (self.base, self.adapters, self.codec, self._network)
        return Policy(*parts, memory_limit_gb=limit_gb, adapter=adapter)

    def unload(self) -> None:
        """Free the adapter of a policy made by `with_adapter`, which can no longer be used."""
        self.adapters.remove(self.adapter)

    def sample(
        self,
        prompts: Sequence[Prompt],
        num_samples: int = 1,
        max_new_tokens: int = 64,
        seed: int | Sequence[int] = 0,
        *,
        sampling: SamplingConfig = DEFAULT_SAMPLING,
        max_prompt_length: int | None = None,
        memories: Sequence[Sequence[Exchange]] | None = None,
        sampler: Sampler | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> list[list[Sample]]:
        """Draw responses, a list of `num_samples` for each prompt.

        Each response has a random stream of its own, keyed by (seed, prompt, candidate): the same
        prompt twice with one seed gives the same responses. `seed` may be one a prompt. A sample's
        `logprob` is that of its ids under the full distribution, whatever the sampling: also where
        that is an `AdjustedSampling`, with penalties and biases. `memories`
        stand before the prompts, one for each, as far as the context has room beside the response
        (`TokenCodec.encode_behind`); then the samples are of π(· | x, memory). `sampler` is another
        engine that draws with the same weights. `before` is called ahead of whatever computes for
        long: of a batch of prompts, and of each 16 tokens; with a `sampler`, once.

        *Raises*: InputError, PromptTooLongError.
        """
        _check_prompts(prompts)
        if memories is not None and len(memories) != len(prompts):
            raise InputError(
                f"There are {len(prompts)} prompts but {len(memories)} memories; give one for each "
                "prompt, an empty one where nothing is to stand before it."
            )
        encoded = [self.codec.encode_prompt(p, limit=max_prompt_length) for p in prompts]
        self.codec.check_room(encoded, max_new_tokens)
        if memories is not None:
            pairs = zip(prompts, memories, strict=True)
            behind = [self.codec.encode_behind(*pair, room=max_new_tokens) for pair in pairs]
            encoded = [ids for _, ids in behind]
        seeds = [seed] * len(prompts) if isinstance(seed, int) else seed
        size = num_samples, max_new_tokens
        if sampler is None:
            rows = self.continuations(encoded, *size, seeds, sampling=sampling, before=before)
        else:
            before()
            rows = sampler.continuations(encoded, *size, seeds, sampling=sampling)
        decode = self.codec.decode
        return [
            [Sample(decode(b.token_ids), b.token_ids, b.logprob, b.finished) for b in row]
            for row in rows
        ]

    def start(
        self,
        prompts: Sequence[Prompt],
        num_samples: int,
        max_new_tokens: int,
        seeds: Sequence[int],
        *,
        sampling: SamplingConfig = DEFAULT_SAMPLING,
        beginnings: Sequence[Ids] | None = None,
        exactly: bool = False,
    ) -> Decoding:
        """Begin the responses that `sample` would draw, for a caller who wants them by the token.

        `beginnings` are ids of responses, one a prompt, that are gone on with. The decoding goes on
        by `advance`, of this policy. `exactly`: by the weights that score, though others are
        drafted in int8. *Raises*: InputError, PromptTooLongError.
        """
        _check_prompts(prompts)
        begun = [()] * len(prompts) if beginnings is None else beginnings
        encoded = [
            (*self.codec.encode_prompt(prompt), *ids)
            for prompt, ids in zip(prompts, begun, strict=True)
        ]
        self.codec.check_room(encoded, max_new_tokens)
        return self.begin(
            encoded, num_samples, max_new_tokens, seeds, sampling=sampling, exactly=exactly
        )

    def logprobs(self, prompts: Sequence[Prompt], responses: Sequence[Response]) -> Tensor:
        """Return log π(y|x), one a pair of prompt and response.

        A string is scored as a finished text, with its end token; a Sample on its ids, as it is.
        *Shapes*: B prompts, B responses → B, float32. *Units*: nats, summed.
        """
        return self.score(*self._encoded(prompts, responses))

    def reference_logprobs(
        self, prompts: Sequence[Prompt], responses: Sequence[Response]
    ) -> Tensor:
        """Return log π_0(y|x), as `logprobs` and from the same kind of pass."""
        with self.as_reference():
            return self.logprobs(prompts, responses)

    def implicit_rewards(
        self, prompts: Sequence[Prompt], responses: Sequence[Response], *, beta: float = 0.1
    ) -> Tensor:
        """Return R_π(x, y) = β log π(y|x)/π_0(y|x), both from one kind of pass. *Shapes*: B."""
        return implicit_reward(*self.both_logprobs(prompts, responses), beta)

    def both_logprobs(
        self, prompts: Sequence[Prompt], responses: Sequence[Response]
    ) -> tuple[Tensor, Tensor]:
        """Return log π(y|x) and log π_0(y|x), from the same kind of pass. *Shapes*: B, B."""
        trees, order = self._scoring_trees(*self._encoded(prompts, responses))
        policy = self._score(trees)
        with self.as_reference():
            reference = self._score(trees)
        return policy[order], reference[order]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the adapter as a PEFT folder, which `peft` and others load unchanged.

        A whole copy is written as a folder of `transformers`.
        """
        self.adapters.save(self.adapter, folder)

    def restore(self, folder: str | os.PathLike[str]) -> None:
        """Overwrite the weights that learn with those saved in a folder."""
        self.adapters.load(self.adapter, folder)

    def save_reference(self, folder: str | os.PathLike[str]) -> None:
        """Write the frozen reference adapter as a PEFT folder, where there is one."""
        reference = self.adapters.reference_of(self.adapter)
        self.adapters.save(reference or REFERENCE, folder)

    def _encoded(
        self, prompts: Sequence[Prompt], responses: Sequence[Response]
    ) -> tuple[list[Ids], list[Ids]]:
        _check_prompts(prompts)
        if len(prompts) != len(responses):
            raise InputError(
                f"There are {len(prompts)} prompts but {len(responses)} responses; give a prompt "
                "for each response."
            )
        return (
            [self.codec.encode_prompt(prompt) for prompt in prompts],
            [self.codec.encode_response(response).token_ids for response in responses],
        )


def _check_prompts(prompts: Sequence[Prompt]) -> None:
    is_one = isinstance(prompts, str | Mapping) or (
        prompts and isinstance(prompts[0], Mapping) and "messages" not in prompts[0]
    )
    if is_one:
        raise InputError("Give a list of prompts; for a single one, a list of one.")
