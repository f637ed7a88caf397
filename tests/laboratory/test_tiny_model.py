"""The tiny model: its windows, its training against transformers, and its place in the cache."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from threading import Thread

import pytest
import torch
from filelock import FileLock

from corll.errors import ConfigError, InputError, ModelNotFoundError, TrainingError
from corll.laboratory import tiny_model as module
from corll.laboratory.tiny_config import TinyConfig
from corll.laboratory.tiny_model import END, tiny_model
from corll.model.loading import load_model
from corll.policy import Policy
from patience import PATIENCE_S
from tiny_models import is_fused

SMALL = TinyConfig(
    vocab_size=300,
    hidden_size=32,
    num_layers=2,
    num_heads=2,
    num_key_value_heads=1,
    head_dim=16,
    intermediate_size=48,
    context_length=32,
    steps=20,
    batch_tokens=256,
    warmup_steps=4,
    evaluate_every=10,
)
TEXTS = [
    f"The {who} {what} the {where} on day {number}."
    for number, who in enumerate(["cook", "clerk", "guard", "nurse", "pilot"])
    for what in ["saw", "left", "painted"]
    for where in ["kitchen", "harbour", "tower"]
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(TEXTS, SMALL, cache=tmp_path_factory.mktemp("cache"))


def never(message: str) -> None:
    raise AssertionError(f"trained again: {message}")


def test_a_policy_takes_it_with_all_its_shortcuts(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    policy = Policy.load(folder, dtype="float32")
    assert not caplog.records
    assert is_fused(policy.base.model)
    assert policy._network.takes_trees
    assert not policy.codec.chat
    assert policy.codec.context_length == 32
    [[first, second]] = policy.sample(["The cook"], 2, 8)
    assert first.token_ids != second.token_ids
    assert policy.logprobs(["The cook"], [first]).item() == pytest.approx(first.logprob, abs=1e-3)


def test_a_prompt_begins_as_documents_do_and_is_not_ended(folder: Path) -> None:
    codec = Policy.load(folder, dtype="float32").codec
    ids = codec.encode_prompt("The cook saw")
    assert codec.end_ids == (0,)
    assert ids[0] == 0
    assert 0 not in ids[1:]
    assert codec.decode(ids) == "The cook saw"
    response = codec.encode_response(" the tower.").token_ids
    assert response[0] != 0
    assert response[-1] == 0


def test_it_learns_and_tells_how_well(folder: Path) -> None:
    told = json.loads((folder / "training.json").read_text())
    assert [row["step"] for row in told["held_out"]] == [10, 20]
    assert told["loss"] < told["held_out"][0]["loss"] < math.log(300)
    assert told["loss_per_byte"] == pytest.approx(told["loss"] / told["held_out_bytes_per_token"])
    assert told["tokens"] == 20 * 8 * 32
    assert (told["documents"], told["held_out_documents"]) == (44, 1)
    loaded = load_model(folder, dtype="float32")
    assert told["parameters"] == sum(weight.numel() for _, weight in loaded.weights())
    assert told["config"] == SMALL.model_dump()


def test_loss_and_gradients_are_those_of_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "choose_dtype", lambda *_: torch.float32)
    network = module._Network.create(SMALL, 300)
    generator = torch.Generator().manual_seed(1)
    learned = [*network.matrices, network.embeddings]
    with torch.no_grad():
        for weight in learned:
            weight.copy_(0.2 * torch.randn(weight.shape, generator=generator))
    windows = torch.randint(0, 300, (3, 13), generator=generator)
    loss = network.loss(windows)
    found = torch.autograd.grad(loss, learned)
    logits = network.model(input_ids=windows[:, :-1]).logits
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
    torch.testing.assert_close(loss, expected)
    for gradient, wanted in zip(found, torch.autograd.grad(expected, learned), strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-6)


def test_windows_begin_where_documents_do_as_far_as_they_can() -> None:
    documents = [torch.tensor([0, 1, 2]), torch.tensor([0, *range(3, 12)]), torch.tensor([0, 12])]
    # The stream is 0 1 2 0 3 4 5 6 7 8 9 10 11 0 12 0. From 0, the document at 3 lies in the second
    # half of a window of 4; from 3 and 7 none does; the last window ends with the stream.
    assert module._windows(documents, 4).tolist() == [
        [0, 1, 2, 0, 3],
        [0, 3, 4, 5, 6],
        [6, 7, 8, 9, 10],
        [10, 11, 0, 12, 0],
    ]


def test_few_tokens_make_one_short_window() -> None:
    assert module._windows([torch.tensor([0, 5])], 9).tolist() == [[0, 5, 0]]


def test_learning_rate_rises_and_falls() -> None:
    config = TinyConfig(steps=8, warmup_steps=4, learning_rate=0.8)
    rates = [config.learning_rate_at(step) for step in range(1, 9)]
    falling = [0.8, 0.4 + 0.4 * math.sqrt(0.5), 0.4, 0.4 - 0.4 * math.sqrt(0.5)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, *falling])


def test_heads_must_fit_together() -> None:
    with pytest.raises(ConfigError, match="divisor"):
        TinyConfig(num_heads=4, num_key_value_heads=3)


def test_it_is_trained_once(folder: Path) -> None:
    again = tiny_model(
        lambda: reversed([*TEXTS, *TEXTS]), SMALL, cache=folder.parents[1], report=never
    )
    assert again == folder


def test_the_same_weights_come_out_again(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)
    again = tiny_model(TEXTS, SMALL, cache=tmp_path)
    assert again.name == folder.name
    for name in ["model.safetensors", "tokenizer.json", "config.json"]:
        assert (again / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize(
    ("texts", "config"), [(TEXTS[:-1], SMALL), (TEXTS, SMALL.with_settings(seed=1))]
)
def test_other_texts_or_settings_are_another_model(
    folder: Path, texts: list[str], config: TinyConfig
) -> None:
    assert module._key(sorted(texts), config) != folder.name


def test_it_lies_in_the_cache_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORLL_CACHE", str(tmp_path))
    shutil.copytree(folder.parent, tmp_path / "tiny")
    assert tiny_model(TEXTS, SMALL, report=never) == tmp_path / "tiny" / folder.name


def test_a_crash_leaves_nothing_that_is_taken_for_a_model(folder: Path, tmp_path: Path) -> None:
    def crash(message: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny_model(TEXTS, SMALL, cache=tmp_path, report=crash)
    unfinished = tmp_path / "tiny" / folder.name
    assert not unfinished.exists()
    for half in [unfinished, unfinished.with_name(f".{folder.name}.new")]:
        half.mkdir()
        shutil.copy(folder / "config.json", half)
    load_model(tiny_model(TEXTS, SMALL, cache=tmp_path))


def test_a_second_process_waits_for_the_first(folder: Path, tmp_path: Path) -> None:
    wanted = tmp_path / "tiny" / folder.name
    wanted.parent.mkdir()
    found: list[Path] = []
    second = Thread(
        target=lambda: found.append(tiny_model(TEXTS, SMALL, cache=tmp_path, report=never))
    )
    with FileLock(wanted.with_name(f".{folder.name}.lock")):
        second.start()
        second.join(0.3)
        assert second.is_alive()
        shutil.copytree(folder, wanted)
    second.join(PATIENCE_S)
    assert found == [wanted]


@pytest.mark.parametrize("texts", [[], ["", " \n"], ["The same.", "The same."]])
def test_too_few_texts_are_refused(texts: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two different texts"):
        tiny_model(texts, SMALL, cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "tiny").write_text("in the way")
    with pytest.raises(ModelNotFoundError, match="CORLL_CACHE"):
        tiny_model(TEXTS, SMALL, cache=tmp_path)


def test_a_loss_that_is_not_finite_is_no_model(tmp_path: Path) -> None:
    wild = SMALL.with_settings(learning_rate=1e30)
    with pytest.raises(TrainingError, match="learning_rate"):
        tiny_model(TEXTS, wild, cache=tmp_path)


def test_an_older_torch_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(ConfigError, match=r"torch 2\.9"):
        tiny_model(TEXTS, SMALL, cache=tmp_path)


def test_its_tokenizer_takes_whole_documents(folder: Path) -> None:
    """Tasks cut prompts from them; a limit would have `transformers` complain of each."""
    tokenizer = load_model(folder).tokenizer
    assert tokenizer.convert_tokens_to_ids(END) == 0
    assert tokenizer.model_max_length > 10**9
