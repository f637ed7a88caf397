"""What was sent in a cell, and what of it stands before prompts: of drafts and of evaluations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from corll.errors import ConfigError
from corll.laboratory.cell import Cell, run_cell
from corll.laboratory.cell_memory import CellMemory
from corll.laboratory.cell_progress import Untaught, evaluations
from corll.laboratory.preparation import PreparedExperiment
from corll.laboratory.sizes import MemoryConfig
from corll.memory.choosing import MemorySettings
from corll.memory.exchanges import Exchange
from corll.policy import Policy
from corll.records import Acceptance, Draft, Edit, Preference, Round, Sample
from corll.simulation.expert_users import ExpertUser
from small_experiments import prepare_small_experiment
from tiny_models import END

LAST = MemorySettings("last", 2, 1000)


@pytest.fixture
def prepared(tiny_model_folder: Path) -> PreparedExperiment:
    return prepare_small_experiment(tiny_model_folder)


@pytest.fixture
def plain(tiny_gpt2_folder: Path) -> Policy:
    return Policy.load(tiny_gpt2_folder, dtype="float32")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """All but the time that it took."""
    return [{**line, "seconds": None} for line in evaluations(folder)]


def played(number: int, prompt: str, sent: str | None, *, accepted: bool = False) -> Round:
    """A round in which a text was sent; None: none was."""
    drafted = Sample(" drafted", (5, 6), -1.0, False)
    draft = Draft(prompt, (drafted,))
    if sent is None:
        return Round(number, Edit(draft, None), None)
    outcome = Acceptance(draft) if accepted else Preference(prompt, sent, drafted)
    return Round(number, Edit(draft, sent), outcome)


class TestCellMemory:
    ROUNDS = (
        played(1, "One", " first"),
        played(2, "Two", None),
        played(3, "Three", " third", accepted=True),
        played(4, "Four", " fourth"),
        played(5, "One", " fifth"),
    )

    def test_it_is_what_was_sent_with_what_was_asked(self, plain: Policy, tmp_path: Path) -> None:
        """Edits and acceptances; nothing of a round without feedback. Two of four: the last two."""
        path = tmp_path / "sent.jsonl"
        memory = CellMemory.resume(path, LAST, plain.codec, rounds=0)
        assert memory.before("Who?") == []
        for round_ in self.ROUNDS:
            memory.add(round_)
        assert memory.before("Who?") == [
            Exchange("Four", " fourth", "round-4"),
            Exchange("One", " fifth", "round-5"),
        ]
        assert memory.preferences == 3
        assert rows(path)[1] == {
            "round": 3,
            "prompt": "Three",
            "text": " third",
            "preference": False,
        }

    def test_what_was_sent_for_the_same_prompt_is_left_out(
        self, plain: Policy, tmp_path: Path
    ) -> None:
        """Of the two others the last two, of four texts in all."""
        memory = CellMemory.resume(tmp_path / "sent.jsonl", LAST, plain.codec, rounds=0)
        for round_ in self.ROUNDS:
            memory.add(round_)
        assert [one.id for one in memory.before("One")] == ["round-3", "round-4"]

    def test_the_nearest_match_the_prompt_best(self, plain: Policy, tmp_path: Path) -> None:
        settings = MemorySettings("nearest", 1, 1000)
        memory = CellMemory.resume(tmp_path / "sent.jsonl", settings, plain.codec, rounds=0)
        for number, prompt in enumerate(["The hotel", "A kettle", "On Friday"], start=1):
            memory.add(played(number, prompt, " was good"))
        assert [one.prompt for one in memory.before("My kettle")] == ["A kettle"]

    @pytest.mark.parametrize(("rounds", "kept", "preferences"), [(5, 4, 3), (4, 3, 2), (0, 0, 0)])
    def test_it_goes_on_with_the_rounds_of_the_saved_learner(
        self, plain: Policy, tmp_path: Path, rounds: int, kept: int, preferences: int
    ) -> None:
        path = tmp_path / "sent.jsonl"
        memory = CellMemory(path, LAST, plain.codec)
        for round_ in self.ROUNDS:
            memory.add(round_)
        path.write_bytes(path.read_bytes() + b'{"round": 3, "prom')
        memory = CellMemory.resume(path, LAST, plain.codec, rounds=rounds)
        assert len(rows(path)) == kept
        assert memory.preferences == preferences
        again = CellMemory.resume(path, LAST, plain.codec, rounds=rounds)
        assert again.before("Who?") == memory.before("Who?")

    def test_a_text_that_spells_a_control_token_stands_nowhere(
        self, plain: Policy, tmp_path: Path
    ) -> None:
        memory = CellMemory.resume(tmp_path / "sent.jsonl", LAST, plain.codec, rounds=0)
        memory.add(played(1, "One", f" so{END}"))
        memory.add(played(2, "Two", " and so"))
        assert [one.id for one in memory.before("Who?")] == ["round-2"]
        assert memory.preferences == 2

    def test_rounds_without_a_memory_are_counted(self, plain: Policy, tmp_path: Path) -> None:
        memory = CellMemory(tmp_path / "sent.jsonl", LAST, plain.codec)
        memory.add(played(1, "One", " first"))
        memory.add(played(2, "Two", None))
        assert memory.rounds_without == 2
        drawn = Draft("Three", (Sample(" x", (5,), None, False),), memory=(Exchange("One", " a"),))
        memory.add(Round(3, Edit(drawn, None), None))
        assert memory.rounds_without == 0


class TestCells:
    def test_drafts_and_evaluations_stand_behind_what_was_sent_until_then(
        self, prepared: PreparedExperiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Four drafts at a time, so the first four behind nothing, the next behind the first four.

        `last` lets 3 + 4 % 3 = 4 texts stand, then 3 + 8 % 3 = 5.
        """
        drafted: list[Draft] = []
        answer = ExpertUser.edits

        def watched(user: ExpertUser, drafts: list[Draft]) -> list[Edit]:
            drafted.extend(drafts)
            return answer(user, drafts)

        monkeypatch.setattr(ExpertUser, "edits", watched)
        run_cell(prepared, Cell.named("memory-last", 0), tmp_path, rates={})
        sent = rows(tmp_path / "sent.jsonl")
        assert [line["round"] for line in sent] == list(range(1, 9))
        assert len({line["text"] for line in sent}) == 8
        assert [draft.memory for draft in drafted[:4]] == [()] * 4
        first = tuple(Exchange(s["prompt"], s["text"], f"round-{s['round']}") for s in sent[:4])
        assert [draft.memory for draft in drafted[4:]] == [first] * 4
        lines = evaluations(tmp_path)
        assert [line["memory_texts"] for line in lines] == [0, 4, 5]
        shown = rows(tmp_path / "samples.jsonl")
        assert [one["memory"] for one in shown] == [[f"round-{n}" for n in range(4, 9)]] * 4

    def test_what_learns_nothing_stays_the_reference(
        self, prepared: PreparedExperiment, tmp_path: Path
    ) -> None:
        """Though its drafts, and what it sends, are others behind a memory."""
        run_cell(prepared, Cell.named("memory-last", 0), tmp_path, rates={})
        first, *others = evaluations(tmp_path)
        assert (first["kl"], first["kl_given_memory"], first["kl_alone"]) == (0.0, 0.0, 0.0)
        assert first["reward_alone"] == pytest.approx(first["reward"])
        for line in others:
            # Two passes measure it, whose rounding differs.
            assert line["kl_given_memory"] == pytest.approx(0, abs=1e-5)
            assert line["kl_alone"] == 0.0
            assert line["reward_alone"] == pytest.approx(first["reward"])
            assert line["reward"] != pytest.approx(first["reward"])
            assert line["kl_full"] > 0
            assert (line["step"], line["loss"]) == (0, None)
        weights = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
        assert all(not bool(w.any()) for name, w in weights.items() if "lora_B" in name)

    def test_a_draft_without_an_answer_is_no_preference_and_no_memory(
        self, prepared: PreparedExperiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every third draft, from the first on, has none: 2, 5 and 8 preferences after 4, 8, 12.

        They are counted four at a time, as steps would have taken them.
        """
        answer = ExpertUser.edits

        def seldom(user: ExpertUser, drafts: list[Draft]) -> list[Edit]:
            edits = answer(user, drafts)
            return [edit if edit.draft.seed % 3 else Edit(edit.draft, None) for edit in edits]

        monkeypatch.setattr(ExpertUser, "edits", seldom)
        run_cell(prepared, Cell.named("memory-nearest", 0), tmp_path, rates={})
        found = [(line["preferences"], line["prompts"]) for line in evaluations(tmp_path)]
        assert found == [(0, 0), (4, 8), (8, 12)]
        sent = [line["round"] for line in rows(tmp_path / "sent.jsonl")]
        assert sent == [2, 3, 5, 6, 8, 9, 11, 12]

    def test_the_learners_switch_says_whether_it_learns_with_the_memory(
        self, prepared: PreparedExperiment, tmp_path: Path
    ) -> None:
        """Both draft alike until the first step that has a memory, which is the second."""
        cell, found = Cell.named("coactive-alpha-0.6+memory", 0), {}
        for learns in (False, True):
            learner = prepared.experiment.learner.with_settings(learn_with_memory=learns)
            experiment = prepared.experiment.with_settings(learner=learner)
            folder = tmp_path / str(learns)
            run_cell(
                PreparedExperiment(experiment, prepared.data, prepared.expert, 0.2),
                cell,
                folder,
                rates={},
            )
            found[learns] = lines_of(folder)
        assert found[False][:2] == found[True][:2]
        assert rows(tmp_path / "False/sent.jsonl") == rows(tmp_path / "True/sent.jsonl")
        assert found[False][2]["loss"] != found[True][2]["loss"]

    def test_distil_learns_from_what_has_a_memory(
        self, prepared: PreparedExperiment, tmp_path: Path
    ) -> None:
        """The first four drafts stand behind nothing. It has a loss, and no log π of two sides."""
        run_cell(prepared, Cell.named("distil+memory", 0), tmp_path, rates={})
        lines = evaluations(tmp_path)
        assert [(line["preferences"], line["prompts"]) for line in lines[1:]] == [(4, 8), (8, 12)]
        assert all(line["loss"] > 0 and line["margin"] is None for line in lines[1:])
        assert lines[-1]["kl_alone"] != 0.0

    @pytest.mark.parametrize("arm", ["distil+memory", "memory-last"])
    def test_a_memory_without_room_ends_a_learner_that_needs_one(
        self, tiny_model_folder: Path, tmp_path: Path, arm: str
    ) -> None:
        """After twice an evaluation's rounds. Others go on, and say that nothing stood there."""
        prepared = prepare_small_experiment(
            tiny_model_folder, memory=MemoryConfig(budget_tokens=1).model_dump()
        )
        if arm == "memory-last":
            run_cell(prepared, Cell.named(arm, 0), tmp_path, rates={})
            assert [line["memory_texts"] for line in evaluations(tmp_path)] == [0, 0, 0]
            return
        with pytest.raises(ConfigError, match=r"last 9 rounds.*budget_tokens \(1\).*512 tokens"):
            run_cell(prepared, Cell.named(arm, 0), tmp_path, rates={})

    def test_a_cell_that_was_killed_amid_rounds_forgets_what_was_sent_in_them(
        self, prepared: PreparedExperiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After the second of eight rounds that no evaluation has seen, with a torn line."""
        cell = Cell.named("coactive-alpha-0.6+memory-nearest", 1)
        run_cell(prepared, cell, tmp_path / "whole", rates={})
        add = CellMemory.add

        def killed(memory: CellMemory, round_: Round) -> None:
            add(memory, round_)
            if round_.number == 6:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(CellMemory, "add", killed)
            with pytest.raises(KeyboardInterrupt):
                run_cell(prepared, cell, tmp_path / "killed", rates={})
        journal = tmp_path / "killed" / "sent.jsonl"
        assert len(rows(journal)) == 6
        journal.write_bytes(journal.read_bytes() + b'{"round": 7')
        seen: list[Mapping[str, Any]] = []
        run_cell(prepared, cell, tmp_path / "killed", rates={}, on_evaluation=seen.append)
        assert [line["preferences"] for line in seen] == [8]
        assert lines_of(tmp_path / "killed") == lines_of(tmp_path / "whole")
        assert journal.read_bytes() == (tmp_path / "whole" / "sent.jsonl").read_bytes()


def test_an_untaught_learner_counts_and_learns_nothing(policy: Policy) -> None:
    learner = Untaught(policy)
    for edited in ("Dear Anna, on Friday.", None):
        draft = learner.draft("Coming?")
        learned = learner.learn(draft, draft.text if edited is None else edited)
        assert learned.step is None
        assert isinstance(learned.outcome, Acceptance if edited is None else Preference)
    assert (learner.rounds_played, learner.steps_taken, len(learner.buffer)) == (2, 0, 0)
