"""Beginnings of prompts that are computed by themselves, and kept."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from architectures import ARCHITECTURES, ROPE_SCALINGS, build
from corll.compute import kept_prefixes
from corll.compute.decoding import Branch, Decoding
from corll.compute.kept_prefixes import KeptPrefixes
from corll.compute.network import Network
from corll.compute.packing import Ids
from corll.config import SamplingConfig
from corll.policy import Policy
from tiny_models import (
    DEVICE,
    build_llama,
    build_tokenizer,
    logprob_by_transformers,
    network_of,
)

V = 64
PROMPTS: list[Ids] = [(5, 9, 2, 3, 3, 8, 1, 4), (7, 2), (3, 3, 8, 1, 4, 6, 2, 9)]
LENGTHS = [6, 0, 3]
EVERYTHING = SamplingConfig(temperature=1.0, top_k=0, top_p=1.0)
PLENTY = 2**20

EVERY = pytest.mark.parametrize("name", [*ARCHITECTURES, *ROPE_SCALINGS])


@cache
def network(name: str) -> Network:
    return network_of(build(name, V).to(DEVICE).eval().requires_grad_(False))


def drawn(
    network: Network,
    kept: KeptPrefixes | None,
    prompts: list[Ids] = PROMPTS,
    lengths: list[int] = LENGTHS,
    *,
    num_samples: int = 2,
    weights: str = "a",
    ends: tuple[int, ...] = tuple(range(0, V, 5)),
) -> list[Branch]:
    decoding = Decoding(
        network,
        prompts,
        seeds=[3] * len(prompts),
        num_samples=num_samples,
        max_new_tokens=10,
        sampling=EVERYTHING,
        end_ids=ends,
        begun_with=weights,
        kept=kept,
        prefixes=lengths,
    )
    while decoding.advance():
        pass
    return decoding.branches()


def ids(branches: list[Branch]) -> list[Ids]:
    return [branch.token_ids for branch in branches]


class TestWhatIsDrawn:
    @EVERY
    def test_is_scored_as_without_a_prefix(self, name: str) -> None:
        model = network(name).model
        branches = drawn(network(name), KeptPrefixes(PLENTY))
        assert ids(branches) == ids(drawn(network(name), None))
        for number, branch in enumerate(branches):
            expected = logprob_by_transformers(model, PROMPTS[number // 2], branch.token_ids)
            assert branch.logprob == pytest.approx(expected, abs=1e-4)

    @EVERY
    def test_is_scored_so_in_blocks_too(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kept_prefixes, "BLOCK", 2)
        branches = drawn(network(name), KeptPrefixes(PLENTY))
        for number, branch in enumerate(branches):
            prompt = PROMPTS[number // 2]
            expected = logprob_by_transformers(network(name).model, prompt, branch.token_ids)
            assert branch.logprob == pytest.approx(expected, abs=1e-4)

    @EVERY
    def test_is_the_same_to_the_bit_whether_or_not_it_was_kept(self, name: str) -> None:
        kept = KeptPrefixes(PLENTY)
        first, again = drawn(network(name), kept), drawn(network(name), kept)
        assert len(kept) == (2 if network(name).takes_trees else 0)
        assert first == again == drawn(network(name), KeptPrefixes(0))

    @pytest.mark.parametrize("length", [1, 7])
    def test_may_follow_a_single_token_of_either_part(self, length: int) -> None:
        only = [PROMPTS[0]]
        branches = drawn(network("llama"), KeptPrefixes(PLENTY), only, [length])
        assert ids(branches) == ids(drawn(network("llama"), None, only, [0]))

    @pytest.mark.parametrize("name", ROPE_SCALINGS)
    def test_is_computed_whole_where_a_row_outgrows_its_frequencies(self, name: str) -> None:
        model = network(name)
        assert model.lengths is not None
        long: Ids = tuple(n % V for n in range(3, model.lengths.border))
        kept = KeptPrefixes(PLENTY)
        (branch,) = drawn(model, kept, [long], [4], num_samples=1, ends=())
        assert len(kept) == 0
        assert branch == drawn(model, None, [long], [0], num_samples=1, ends=())[0]

    @pytest.mark.parametrize("name", ["mamba", "bloom"])
    def test_is_computed_whole_where_rows_cannot_go_on(self, name: str) -> None:
        kept = KeptPrefixes(PLENTY)
        assert drawn(network(name), kept) == drawn(network(name), None)
        assert len(kept) == 0

    @pytest.mark.usefixtures("kernel_mode")
    def test_in_bf16_is_scored_as_in_float32_up_to_rounding(self, tmp_path: Path) -> None:
        tokenizer = build_tokenizer(chat=False)
        exact: Any = build_llama(len(tokenizer), hidden_size=64).bfloat16().float().eval()
        exact.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        policy = Policy.load(tmp_path, dtype="bfloat16")
        prompts = [
            policy.codec.encode_prompt(text)
            for text in ("Dear Ms Lopez, we are sorry.", "a", "The hotel near the station")
        ]
        kept = KeptPrefixes(PLENTY)
        lengths = [len(prompts[0]) - 1, 0, 2]
        decoding = policy.begin(prompts, 3, 24, [1] * 3, kept=kept, prefixes=lengths)
        while policy.advance(decoding):
            pass
        assert len(kept) == 2
        for number, branch in enumerate(decoding.branches()):
            prompt = prompts[number // 3]
            expected = logprob_by_transformers(exact, prompt, branch.token_ids)
            assert branch.logprob == pytest.approx(expected, abs=0.02 * len(branch.token_ids))


@pytest.mark.usefixtures("kernel_mode")
def test_a_prompt_of_one_token_is_drafted_for_in_bf16(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(chat=False)
    model: Any = build_llama(len(tokenizer), hidden_size=64)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    policy = Policy.load(tmp_path, dtype="bfloat16")
    ((branch,),) = policy.continuations([(5,)], 1, 8, [0])
    expected = logprob_by_transformers(model.bfloat16().float(), (5,), branch.token_ids)
    assert branch.logprob == pytest.approx(expected, abs=0.02 * len(branch.token_ids))


class TestWhatIsKept:
    @staticmethod
    def size(length: int) -> int:
        prefix = KeptPrefixes(PLENTY).prefix(network("llama"), PROMPTS[0][:length], weights="a")
        assert prefix is not None
        return prefix.nbytes

    def test_bytes_grow_with_the_tokens(self) -> None:
        assert self.size(6) == 2 * self.size(3) > 0

    def test_as_many_as_the_bytes_hold_and_the_latest(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        computed = []
        original = kept_prefixes._block

        def counted(network: Network, ids: Ids, before: Any) -> Any:
            computed.append(ids)
            return original(network, ids, before)

        kept = KeptPrefixes(2 * self.size(3))
        monkeypatch.setattr(kept_prefixes, "_block", counted)
        one, two, three = (1, 2, 3), (4, 5, 6), (7, 8, 9)
        for ids in (one, two, one, three, one, two):
            kept.prefix(network("llama"), ids, weights="a")
        assert computed == [one, two, three, two]
        assert len(kept) == 2
        assert kept.nbytes == kept.capacity

    def test_blocks_that_two_prefixes_share_are_computed_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kept_prefixes, "BLOCK", 3)
        kept, llama = KeptPrefixes(PLENTY), network("llama")
        one = kept.prefix(llama, (1, 2, 3, 4, 5, 6, 7), weights="a")
        assert len(kept) == 3
        other = kept.prefix(llama, (1, 2, 3, 4, 5, 6, 8, 9), weights="a")
        assert len(kept) == 4
        assert one is not None
        assert other is not None
        assert (one.length, other.length) == (7, 8)
        for mine, theirs in zip(one.keys, other.keys, strict=True):
            assert torch.equal(mine[:, :6], theirs[:, :6])
        assert kept.nbytes == self.size(1) * (3 + 3 + 1 + 2)

    def test_what_is_prepared_block_by_block_is_what_is_computed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kept_prefixes, "BLOCK", 3)
        prepared, kept, llama = KeptPrefixes(PLENTY), KeptPrefixes(PLENTY), network("llama")
        ids: Ids = (1, 2, 3, 4, 5, 6, 7)
        assert [prepared.prepare(llama, ids, weights="a") for _ in range(4)] == [
            *(True, True, False),
            False,
        ]
        assert len(prepared) == 3
        one, other = (some.prefix(llama, ids, weights="a") for some in (prepared, kept))
        assert one is not None
        assert other is not None
        assert all(map(torch.equal, one.keys, other.keys))

    def test_without_room_preparing_ends(self) -> None:
        assert KeptPrefixes(0).prepare(network("llama"), (1, 2, 3), weights="a") is False

    def test_nothing_that_is_larger_than_all_of_it(self) -> None:
        kept = KeptPrefixes(self.size(3) - 1)
        assert kept.prefix(network("llama"), (1, 2, 3), weights="a") is not None
        assert len(kept) == 0

    def test_weights_have_prefixes_of_their_own(self) -> None:
        """Two users' adapters: what one computed is nothing to the other."""
        kept = KeptPrefixes(PLENTY)
        kept.prefix(network("llama"), (1, 2, 3), weights="a")
        with torch.no_grad():
            other = kept.prefix(network("qwen2"), (1, 2, 3), weights="b")
        mine = kept.prefix(network("llama"), (1, 2, 3), weights="a")
        assert mine is not None
        assert other is not None
        assert len(kept) == 2
        assert not torch.equal(mine.keys[0], other.keys[0])
