"""Which modules are changed, which tests concern each of them, and how many changes are tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = Path("src/corll")
TESTS = Path("tests")


@dataclass(frozen=True, slots=True)
class Subject:
    """A module under `src/corll`, or a folder of them, and the files under `tests` to run.

    Of each module `sample` mutants are tried, chosen by their names alone.
    """

    module: str
    tests: tuple[str, ...]
    sample: int = 40

    def sources(self, root: Path = ROOT) -> Iterator[Path]:
        """Yield the module's file, or all files of the folder, relative to `root`."""
        path = SOURCE / self.module
        folder = root / path
        if folder.is_dir():
            found = sorted(folder.rglob("*.py"))
            yield from (one.relative_to(root) for one in found if one.name != "__init__.py")
        else:
            yield path.with_suffix(".py")

    def test_files(self) -> list[str]:
        return [str(TESTS / name) for name in self.tests]


_STORE = "service/store"

SUBJECTS = (
    # The paper.
    Subject("algorithm", ("test_algorithm.py",)),
    Subject("draft", ("test_draft.py",)),
    Subject("feedback", ("test_feedback.py", "test_moved.py")),
    Subject("buffer", ("test_buffer.py",)),
    Subject(
        "losses",
        ("losses/test_losses.py", "losses/test_token_comparison.py", "test_gradient.py"),
        sample=30,
    ),
    Subject(
        "gradient",
        ("test_gradient.py", "compute/test_passes.py", "test_learner_steps.py"),
        sample=45,
    ),
    Subject(
        "learner",
        ("test_learner.py", "test_saved_learner.py", "test_random_streams.py"),
        sample=45,
    ),
    Subject(
        "step",
        (
            *("test_step.py", "test_random_streams.py"),
            *("test_learner.py", "test_learner_steps.py", "test_saved_learner.py"),
        ),
        sample=45,
    ),
    Subject(
        "policy",
        (
            *("test_policy.py", "test_policy_reference.py"),
            *("test_draft.py", "model/test_whole_copies.py"),
        ),
        sample=45,
    ),
    # Plain ground.
    Subject("records", ("test_records.py", "test_algorithm.py")),
    Subject("text", ("test_text.py",), sample=45),
    Subject("edits", ("test_edits.py",)),
    Subject("evaluation", ("test_evaluation.py",), sample=45),
    Subject("model/tokens", ("model/test_tokens.py", "model/test_control_tokens.py"), sample=45),
    Subject("model/chat", ("model/test_chat.py",), sample=45),
    Subject("model/kept_ids", ("model/test_kept_ids.py",), sample=45),
    Subject("model/spelling", ("model/test_spelling.py", "model/test_kept_ids.py"), sample=45),
    Subject("compute/packing", ("compute/test_packing.py",), sample=45),
    Subject("simulation/axes", ("simulation/test_axes.py",)),
    Subject("laboratory/linear_world", ("laboratory/test_linear_world.py",), sample=45),
    Subject("laboratory/statistics", ("laboratory/test_statistics.py",), sample=45),
    # The service.
    Subject(
        f"{_STORE}/preferences",
        (
            f"{_STORE}/test_drafts.py",
            f"{_STORE}/test_comparisons.py",
            f"{_STORE}/test_lineages.py",
            f"{_STORE}/test_accounts.py",
            f"{_STORE}/test_imports.py",
            f"{_STORE}/test_two_users.py",
            f"{_STORE}/test_any_order.py",
        ),
        sample=45,
    ),
    Subject(
        f"{_STORE}/lineages",
        (
            f"{_STORE}/test_lineages.py",
            f"{_STORE}/test_two_users.py",
            f"{_STORE}/test_any_order.py",
        ),
        sample=45,
    ),
    Subject(f"{_STORE}/drafts", (f"{_STORE}/test_drafts.py",)),
    Subject(f"{_STORE}/accounts", (f"{_STORE}/test_accounts.py", f"{_STORE}/test_audit.py")),
    Subject(f"{_STORE}/imports", (f"{_STORE}/test_imports.py",)),
    Subject(
        f"{_STORE}/comparisons",
        (f"{_STORE}/test_comparisons.py", f"{_STORE}/test_any_order.py"),
    ),
    *(
        Subject(
            f"{_STORE}/{name}",
            (
                f"{_STORE}/test_database.py",
                f"{_STORE}/test_writer.py",
                f"{_STORE}/test_migrations.py",
                "service/test_outages.py",
            ),
        )
        for name in ("database", "engines", "faults", "writer")
    ),
    Subject(f"{_STORE}/leases", (f"{_STORE}/test_leases.py",)),
    Subject(
        "service/learning/checks",
        ("service/learning/test_checks.py", "service/learning/test_trainer.py"),
    ),
    Subject(
        "service/learning/trainer",
        ("service/learning/test_trainer.py", "service/learning/test_worker.py"),
    ),
    Subject(
        "service/learning/reading",
        ("service/learning/test_reading.py", "service/learning/test_learned_memory.py"),
    ),
    Subject("service/learning/importing", ("service/learning/test_importing.py",)),
    Subject(
        "service/feedback",
        ("service/test_feedback.py", "service/api/test_feedback.py"),
        sample=45,
    ),
    Subject(
        "service/api/found_drafts",
        ("service/api/test_found_drafts.py", "service/api/test_feedback.py"),
    ),
    Subject(
        "service/api/feedback_routes",
        (
            "service/api/test_feedback.py",
            "service/api/test_drafts.py",
            "service/api/test_access.py",
            "service/api/test_browser.py",
        ),
    ),
)
"""One entry a module. A module that becomes a folder keeps its entry; its files are all changed."""


def chosen(names: list[str]) -> list[Subject]:
    """Find the subjects of those modules, or all. *Raises*: ValueError for an unknown module."""
    known = {subject.module: subject for subject in SUBJECTS}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f"{', '.join(unknown)}: no such entry in tests/mutants/subjects.py; "
            f"there are {', '.join(known)}."
        )
    return [known[name] for name in names] if names else list(SUBJECTS)
