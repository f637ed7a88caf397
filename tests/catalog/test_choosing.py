"""`--model auto` as arithmetic: what a model needs of a machine, and which model suits it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corll.catalog.choosing import judge, order
from corll.catalog.entries import CATALOG, CatalogModel, get_model
from corll.catalog.memory import check_memory, to_convert, to_draft
from corll.catalog.needs import LONGEST_DRAFT_S, Machine, needs_of
from corll.errors import DeviceMemoryError, ModelNotFoundError

LAPTOP = Machine(
    "a laptop", "float32", 4, memory=12e9, system_memory=12e9, bandwidth=2e10, flops=2e11
)
BIG_GPU = Machine(
    "a card", "bfloat16", 2, memory=140e9, system_memory=200e9, bandwidth=3e12, flops=5e14, gpu=True
)


class TestShapes:
    @pytest.mark.parametrize(
        ("name", "parameters"),
        [
            # As each of the files and configurations counts them.
            ("smollm2-135m", 134_515_008),
            ("qwen2.5-coder-0.5b-instruct", 494_032_768 + 151_936 * 896),
            ("qwen2.5-1.5b-instruct", 1_543_714_304),
            ("qwen2.5-7b-instruct", 7_615_616_512),
        ],
    )
    def test_the_weights_are_counted(self, name: str, parameters: int) -> None:
        assert get_model(name).shape.parameters == parameters

    def test_a_new_token_does_not_read_the_embedding_of_all_others(self) -> None:
        tied = get_model("qwen2.5-1.5b-instruct").shape
        untied = get_model("qwen2.5-coder-1.5b-instruct").shape
        assert tied.read_each_token == untied.read_each_token == tied.parameters


class TestNeeds:
    def test_by_hand(self) -> None:
        """135M in float32: 0.538 GB of weights; 0.4 GB and 1 GiB a process besides."""
        needs = needs_of(get_model("smollm2-135m").shape, LAPTOP)
        assert needs.to_draft == 134_515_008 * 4 + 4e8 + 2**30
        rank_8 = 8 * 30 * (2 * (576 + 576) + 2 * (576 + 192) + 3 * (576 + 1536))
        assert needs.to_learn == 134_515_008 * 4 + 16 * rank_8 + 2 * (4e8 + 2**30)
        seconds = 300 * 2 * 134_515_008 / 2e11 + 150 * 4 * 134_515_008 / 2e10
        assert needs.draft_s == pytest.approx(seconds)

    def test_weights_that_are_laid_out_are_there_more_than_once(self) -> None:
        shape = get_model("smollm2-135m").shape
        copying = replace(LAPTOP, itemsize=2, copied_up_to=1e9, copied_bandwidth=4e10)
        plain = replace(LAPTOP, itemsize=2)
        weights = 2 * shape.parameters
        assert needs_of(shape, copying).to_draft == needs_of(shape, plain).to_draft + weights
        assert needs_of(shape, copying).to_learn == needs_of(shape, plain).to_learn + 3 * weights
        assert needs_of(shape, copying).draft_s < needs_of(shape, plain).draft_s

    @pytest.mark.parametrize(
        ("model", "copies"), [("smollm2-135m", 2), ("qwen2.5-coder-1.5b-instruct", 1)]
    )
    def test_the_learner_of_a_small_model_has_it_in_int8_too(self, model: str, copies: int) -> None:
        shape, plain = get_model(model).shape, replace(LAPTOP, itemsize=2)
        copying = replace(plain, draft_copy=1.03125)
        more = needs_of(shape, copying).to_learn - needs_of(shape, plain).to_learn
        assert more == pytest.approx(copies * 1.03125 * shape.parameters)

    def test_on_a_card_the_learner_has_weights_of_its_own(self) -> None:
        shape = get_model("smollm2-135m").shape
        one = needs_of(shape, replace(BIG_GPU, gpu=False)).to_learn
        assert needs_of(shape, BIG_GPU).to_learn == one + 2 * shape.parameters


def names(models: list[CatalogModel]) -> list[str]:
    return [model.name for model in models]


class TestChoosing:
    def test_a_laptop_without_the_hub_takes_what_the_wheels_hold(self) -> None:
        quick = replace(LAPTOP, itemsize=2, bandwidth=5e10)
        assert names(order(judge(quick, hub=False))) == [
            "qwen2.5-coder-1.5b-instruct",
            "qwen2.5-coder-0.5b-instruct",
            "smollm2-135m",
        ]

    def test_where_the_hub_answers_a_general_model_comes_first(self) -> None:
        quick = replace(LAPTOP, itemsize=2, bandwidth=5e10)
        assert names(order(judge(quick, hub=True)))[0] == "qwen2.5-1.5b-instruct"

    def test_a_slow_machine_takes_a_smaller_one(self) -> None:
        slow = replace(LAPTOP, bandwidth=2e10)
        assert names(order(judge(slow, hub=True)))[0] == "qwen2.5-coder-0.5b-instruct"

    def test_a_card_takes_the_largest_that_fits(self) -> None:
        assert names(order(judge(BIG_GPU, hub=True)))[0] == "qwen2.5-32b-instruct"
        smaller = replace(BIG_GPU, memory=40e9)
        assert names(order(judge(smaller, hub=True)))[0] == "qwen2.5-7b-instruct"

    def test_what_is_in_the_cache_needs_no_hub(self) -> None:
        found = judge(BIG_GPU, hub=False, is_here=lambda model: "7b" in model.name)
        assert names(order(found))[0] == "qwen2.5-7b-instruct"

    def test_what_cannot_be_converted_here_is_not_fetched(self) -> None:
        little = replace(LAPTOP, itemsize=2, bandwidth=5e10, memory=9e9, system_memory=9e9)
        found = {one.model.name: one for one in judge(little, hub=False)}
        reasons = found["qwen2.5-coder-1.5b-instruct"].reasons
        assert reasons == ("needs 11.1 GB of memory to be converted, and 9.0 GB are free",)

    @given(st.floats(1e6, 1e13), st.floats(1e7, 1e13), st.floats(1e9, 1e15), st.booleans())
    def test_some_model_is_always_tried_and_the_better_first(
        self, memory: float, bandwidth: float, flops: float, gpu: bool
    ) -> None:
        machine = replace(
            LAPTOP, memory=memory, system_memory=memory, bandwidth=bandwidth, flops=flops, gpu=gpu
        )
        verdicts = judge(machine, hub=True)
        found = order(verdicts)
        assert found[-1].name == "smollm2-135m"
        ranks = [CATALOG.index(model) for model in found]
        assert ranks == sorted(set(ranks))
        for one in verdicts:
            fits = one.needs.to_learn <= memory and one.needs.draft_s <= LONGEST_DRAFT_S
            assert (
                one.suits
                == (
                    fits
                    and (gpu or not one.model.for_gpus)
                    and (one.needs.to_convert <= memory or "coder" not in one.model.name)
                )
                or one.model.name == "smollm2-135m"
            )


class TestMemoryBefore:
    def test_the_numbers_and_the_next_smaller_model_are_said(self) -> None:
        with pytest.raises(
            DeviceMemoryError,
            match=r"Big needs 30\.5 GB of memory, and 4\.0 GB are free: choose "
            r"qwen2\.5-coder-0\.5b-instruct, which fits",
        ):
            check_memory("Big", 30.46e9, 4e9)

    def test_where_nothing_fits_that_is_said(self) -> None:
        with pytest.raises(DeviceMemoryError, match="no smaller model here fits"):
            check_memory("Big", 3e9, 1e9)

    def test_what_fits_passes(self) -> None:
        check_memory("Small", 1e9, 1e9)

    def test_a_conversion_takes_more_than_the_model(self) -> None:
        shape = get_model("qwen2.5-coder-0.5b-instruct").shape
        assert to_convert(shape) > to_draft(shape, 2)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelNotFoundError, match=r"no model 'gpt-5'\. It has: .*smollm2-135m"):
        get_model("gpt-5")


def test_names_and_files_are_one() -> None:
    assert len({model.name for model in CATALOG}) == len(CATALOG)
    sources = [repr(model.source) for model in CATALOG]
    assert len(set(sources)) == len(sources)
