"""One run of `corll learn` with its model loaded: plays rounds, keeps its folder, reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

from rich.console import Console
from safetensors import SafetensorError

from corll.algorithm import run
from corll.cli.curve import draw_curve
from corll.cli.display import Display, LiveDisplay, PersonDisplay, PlainDisplay
from corll.cli.learn_settings import LearnSettings
from corll.cli.run_summary import print_answers, print_comparison, print_whereabouts
from corll.cli.trackers import Tracker, open_tracker
from corll.config import CoactiveConfig
from corll.draft import make_drafts
from corll.evaluation import Evaluation, evaluate
from corll.feedback import User
from corll.files.run_folder import JournalingUser, RunFolder, read_config, round_metrics
from corll.learner import CoactiveLearner
from corll.policy import Policy
from corll.records import Draft, Edit, Prompt


@dataclass
class LearningRun:
    """A learner, the folder that it keeps, and the terminal that is told about it."""

    settings: LearnSettings
    folder: RunFolder
    learner: CoactiveLearner
    held_out: Sequence[Prompt]
    console: Console

    @classmethod
    def open(
        cls,
        settings: LearnSettings,
        folder: RunFolder,
        *,
        held_out: Sequence[Prompt],
        console: Console,
    ) -> Self:
        """Load the model with a new adapter, or the learner as its folder has it."""
        config = read_config(folder.path)
        # The dtype that was chosen when the run began stays: another dtype gives other weights.
        dtype = settings.dtype or config.get("model", {}).get("dtype")
        if folder.adapter.exists():
            learner = CoactiveLearner.load(folder.adapter, dtype=dtype, device=settings.device)
        else:
            policy = Policy.load(
                settings.model,
                dtype=dtype,
                device=settings.device,
                lora=settings.lora,
                enable_thinking=settings.enable_thinking,
            )
            coactive = settings.coactive
            if settings.model_sampling and settings.preset == "default":
                coactive = policy.base.with_own_sampling(coactive, CoactiveConfig())
            learner = CoactiveLearner(policy, coactive)
        model = {
            "folder": str(learner.policy.folder),
            "dtype": str(learner.policy.dtype).removeprefix("torch."),
            "device": str(learner.policy.device),
            "sampling": learner.config.sampling.model_dump(),
        }
        folder.write_config({**config, "model": model})
        console.print(f"Memory: {learner.policy.working_set()}.", style="dim")
        return cls(settings, folder, learner, held_out, console)

    def play(self, prompts: Iterator[Prompt], user: User, *, judge: User) -> None:
        """Play the run from where its folder stands to its end, and print the report.

        `judge` edits the held-out drafts, where there are any.
        """
        before = self._evaluated("before", judge)
        self._learn(islice(prompts, self.learner.rounds_played, None), user)
        after = self._evaluated("after", judge)
        self._report(before, after, judge)

    def _learn(self, prompts: Iterator[Prompt], user: User) -> None:
        learner, folder = self.learner, self.folder
        folder.keep_metrics_until(rounds=learner.rounds_played, steps=learner.steps_taken)
        tracker = open_tracker(
            self.settings.report_to,
            folder.path,
            config=self.settings.stored(),
            first_round=learner.rounds_played + 1,
        )
        try:
            with self._display() as display:
                self._play_rounds(prompts, user, display=display, tracker=tracker)
            self._flush(tracker)
        finally:
            tracker.close()
        self._checkpoint()

    def _play_rounds(
        self, prompts: Iterator[Prompt], user: User, *, display: Display, tracker: Tracker
    ) -> None:
        learner, folder = self.learner, self.folder
        at_once = self.settings.drafts_at_once or 1
        first_round, steps_saved = learner.rounds_played, learner.steps_taken
        rounds = run(
            learner,
            prompts,
            JournalingUser(user, folder, check=self._check_answer),
            drafts_at_once=at_once,
            past=folder.edits[first_round:],
        )
        for round_ in rounds:
            metrics = round_metrics(round_, step=learner.steps_taken)
            folder.append_metrics(metrics)
            tracker.log(metrics)
            display.show(metrics)
            # One state of the policy draws a whole chunk of drafts, so it is saved between chunks.
            between_chunks = (round_.number - first_round) % at_once == 0
            if between_chunks and learner.steps_taken > steps_saved:
                self._checkpoint()
                steps_saved = learner.steps_taken

    def _checkpoint(self) -> None:
        self.folder.checkpoint(self._save)

    def _save(self, target: Path) -> None:
        try:
            self.learner.save(target)
        except SafetensorError as error:  # A full disk, in the words of safetensors.
            raise OSError(str(error)) from error

    def _flush(self, tracker: Tracker) -> None:
        """Take the last step, on fewer than N preferences."""
        waiting = len(self.learner.buffer)
        result = self.learner.flush()
        if result is None:
            return
        line = {"round": self.learner.rounds_played, "step": result.number, **result.metrics}
        self.folder.append_metrics(line)
        tracker.log(line)
        self.console.print(
            f"last step, on the {waiting} preferences that were waiting", style="dim"
        )

    def check_prompt(self, prompt: Prompt) -> None:
        """Check a prompt. *Raises*: InputError where it could not be drafted for."""
        codec, config = self.learner.policy.codec, self.learner.config
        ids = codec.encode_prompt(prompt, limit=config.max_prompt_length)
        codec.check_room([ids], config.max_completion_length)

    def check(self, draft: Draft, text: str) -> None:
        """Check an edit of a draft. *Raises*: InputError where it could not be learned from."""
        self.learner.outcome_of(draft, text)

    def _check_answer(self, edit: Edit) -> None:
        if edit.text is not None:
            self.check(edit.draft, edit.text)

    def _evaluated(self, phase: str, judge: User) -> Evaluation | None:
        """Return the held-out evaluation of this phase, from the folder if it is there."""
        if not self.held_out:
            return None
        rounds = 0 if phase == "before" else self.learner.rounds_played
        records = self.folder.held_out()
        found = [line for line in records if (line["phase"], line["round"]) == (phase, rounds)]
        if found:
            return Evaluation.from_records(found)
        config = self.learner.config
        with self.console.status(f"held-out drafts {phase} learning"):
            seeds = [config.seed] * len(self.held_out)
            drafts = make_drafts(self.learner.policy, self.held_out, config, seeds=seeds)
            evaluation = evaluate(drafts, judge)
        new = [{"phase": phase, "round": rounds, **line} for line in evaluation.records()]
        kept = [line for line in records if line["phase"] != phase]
        self.folder.write_held_out([*kept, *new])
        return evaluation

    def _display(self) -> Display:
        rounds = self.settings.rounds
        if not self.settings.simulated:
            return PersonDisplay(
                self.console,
                preferences_per_step=self.learner.config.preferences_per_step,
                waiting=len(self.learner.buffer),
            )
        if self.console.is_terminal and rounds is not None:
            return LiveDisplay(self.console, rounds=rounds, played=self.learner.rounds_played)
        return PlainDisplay(self.console, rounds=rounds)

    def _report(self, before: Evaluation | None, after: Evaluation | None, judge: User) -> None:
        metrics = self.folder.metrics()
        title = f"{self.settings.model}, edited by {self.settings.user}"
        drawn = draw_curve(metrics, self.folder.curve, title=title)
        if before is not None and after is not None:
            seed = self.learner.config.seed
            print_comparison(self.console, before, after, judge=judge, seed=seed)
        else:
            print_answers(self.console, metrics)
        print_whereabouts(
            self.console,
            adapter=self.folder.adapter,
            model=self.settings.model,
            curve=self.folder.curve if drawn else None,
            run=self.folder.path,
            ends=self.settings.rounds is not None,
        )
