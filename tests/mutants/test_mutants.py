"""The runner itself: what it changes, what it keeps, and that a trial tells dead from alive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mutants.__main__ import JUDGED
from mutants.journal import Journal, digest_of_code, read_judgements, sample
from mutants.operators import Mutant, mutants_of, mutated
from mutants.report import counts, module_of, table
from mutants.subjects import ROOT, SUBJECTS, Subject, chosen
from mutants.trial import Result

TEXT = '''
"""A docstring is left alone."""

def largest(numbers, *, least: int = 0):
    """So is this one."""
    found = [n for n in numbers if n > least]
    if not found:
        raise ValueError("nothing is larger")
    return max(found)
'''


def keys(text: str) -> set[str]:
    return {mutant.key for mutant in mutants_of(text)}


def changes_of(line: str) -> set[str]:
    """What a line of a function may become."""
    found = keys(f"def f():\n    {line}\n")
    return {key.split(" → ")[1].split(" (")[0] for key in found if " → " in key}


class TestOperators:
    def test_the_changes_of_a_small_function(self) -> None:
        assert keys(TEXT) == {
            "largest: numbers, *, least: int=0 → numbers, *, least: int=1",
            "largest: numbers, *, least: int=0 → numbers, *, least: int=-1",
            "largest: for n in numbers if n > least → for n in numbers",
            "largest: for n in numbers if n > least → for n in numbers if n >= least",
            "largest: for n in numbers if n > least → for n in numbers if n <= least",
            "largest: if not found: → if found:",
            "largest: if not found: → if True:",
            "largest: if not found: → if False:",
            "largest: return max(found) → return min(found)",
            "largest: return max(found) → return None",
        }

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("x = a and b", {"x = a or b", "x = a", "x = b"}),
            ("x = a + b * c", {"x = a - b * c", "x = a + b / c"}),
            ("log(a)", {"pass"}),
            ("self.kept = a", {"pass"}),
            ("x = query.where(a)", {"x = query"}),
            ("x = f(a, b)", {"x = f(a)", "x = f(b, a)"}),
            ("x = f(a, side=b)", {"x = f(a)"}),
            ("x = draw(seed=a)", {"x = draw()", "x = draw(seed=0)"}),
            ("x = Random(f'{a}/{b}')", {"x = Random(f'0/{b}')", "x = Random(f'{a}/0')"}),
            ("x = default_rng(a)", {"x = default_rng(0)"}),
            ("x = losses.mean()", {"x = losses.sum()"}),
            (
                "return {'state': 'waiting'}",
                {
                    "return None",
                    "return {'stateX': 'waiting'}",
                    "return {'state': 'waitingX'}",
                },
            ),
            ("raise ValueError('words for a person')", set()),
            ("assert a == 1", set()),
        ],
    )
    def test_what_a_line_may_become(self, line: str, expected: set[str]) -> None:
        assert changes_of(line) == expected

    def test_each_change_is_made_and_nothing_else(self) -> None:
        for mutant in mutants_of(TEXT):
            changed = mutated(TEXT, mutant.number)
            compile(changed, "changed", "exec")
            assert mutant.becomes in " ".join(changed.split())

    def test_a_name_outlives_a_shift_of_lines_and_counts_equal_changes(self) -> None:
        assert keys("\n\n\n" + TEXT) == keys(TEXT)
        assert keys("def f():\n    g(1)\n    g(1)\n") >= {"f: g(1) → pass", "f: g(1) → pass (2)"}

    def test_a_name_shows_of_a_long_text_what_changes(self) -> None:
        line = f"found = choose({', '.join(f'argument_{n}={n}' for n in range(20))})"
        was, becomes = "argument_8=8, argument_9=9, argument_10=10", "argument_8=8, argument_10=10"
        found = [key for key in keys(f"def f():\n    {line}\n") if "argument_9=9" in key]
        assert any(was in key and becomes in key for key in found)
        assert all(len(key) < 160 for key in found)

    def test_a_sample_hardly_changes_when_mutants_come_and_go(self) -> None:
        mutants = [Mutant("f", str(n), "0", 1, n, (1, 1)) for n in range(40)]
        some = sample(mutants, 10, module="draft", seed=0)
        assert some == sorted(some, key=lambda mutant: mutant.number)
        fewer = sample([one for one in mutants if one != some[3]], 10, module="draft", seed=0)
        assert len(set(some) & set(fewer)) == 9
        assert sample(mutants, 10, module="draft", seed=1) != some
        assert sample(mutants, 10, module="buffer", seed=0) != some


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.module)
def test_what_the_table_names_is_there(subject: Subject) -> None:
    sources = list(subject.sources())
    assert sources
    missing = [str(path) for path in sources if not (ROOT / path).is_file()]
    assert missing + [name for name in subject.test_files() if not (ROOT / name).is_file()] == []


def test_a_module_without_an_entry_is_said_by_name() -> None:
    assert [subject.module for subject in chosen(["draft"])] == ["draft"]
    with pytest.raises(ValueError, match=r"^drafts: no such entry"):
        chosen(["draft", "drafts"])


class TestJudgements:
    def test_each_is_of_a_change_that_can_still_be_made(self) -> None:
        judged = read_judgements(JUDGED)
        possible = {
            (module_of(path), key)
            for subject in SUBJECTS
            for path in subject.sources()
            if module_of(path) in {module for module, _ in judged}
            for key in keys((ROOT / path).read_text(encoding="utf-8"))
        }
        assert set(judged) - possible == set()

    @pytest.mark.parametrize("said", ["equivalent", "equivalent: ", "boring: it is"])
    def test_a_verdict_gives_its_reason(self, tmp_path: Path, said: str) -> None:
        path = tmp_path / "judged.toml"
        path.write_text(f'["draft"]\n"f: a → b" = "{said}"\n')
        with pytest.raises(ValueError, match='should be "equivalent: why"'):
            read_judgements(path)

    def test_the_counts_leave_out_what_does_not_matter(self) -> None:
        mutants = [Mutant("f", str(n), "0", 1, n, (n, n)) for n in range(5)]
        outcomes = ["killed", "timeout", "killed", "survived", "survived"]
        path = Path("src/corll/model/tokens.py")
        found = counts(
            [(path, mutant, end) for mutant, end in zip(mutants, outcomes, strict=True)],
            {("model/tokens", "f: 3 → 0"): ("equivalent", "why")},
        )
        count = found["model/tokens"]
        assert (count.tried, count.killed, count.judged) == (5, 3, 1)
        assert count.unjudged == ["f: 4 → 0  (line 4)"]
        assert count.share == 0.75
        assert table(found).splitlines()[-1] == "model/tokens: f: 4 → 0  (line 4)"


def test_a_journal_goes_on_where_it_was(tmp_path: Path) -> None:
    path, mutant = Path("src/corll/draft.py"), Mutant("f", "a", "b", 1, 0, (1, 1))
    dead, alive = Result("killed", "FAILED test", 1.0), Result("survived", "", 1.0)
    Journal(tmp_path).add(path, mutant, dead, source="s", tests="t")
    journal = Journal(tmp_path)
    assert journal.find(path, mutant, source="s", tests="other") is not None
    assert journal.find(path, mutant, source="other", tests="t") is None
    journal.add(path, mutant, alive, source="other", tests="t")
    assert Journal(tmp_path).find(path, mutant, source="other", tests="t") is not None
    assert Journal(tmp_path).find(path, mutant, source="other", tests="more") is None
    assert Journal(tmp_path).find(path, replace(mutant, was="c"), source="s", tests="t") is None


def test_words_about_a_module_change_nothing_of_it() -> None:
    assert digest_of_code(TEXT.replace("So is this one.", "And this.")) == digest_of_code(TEXT)
    assert digest_of_code(TEXT + "\n# A comment.\n") == digest_of_code(TEXT)
    assert digest_of_code(TEXT.replace("larger", "smaller")) != digest_of_code(TEXT)


TOY = "def double(number):\n    while number < 0:\n        number += 1\n    return 2 * number\n"
TRY_ALL = """
import json, sys
from pathlib import Path
from mutants.operators import mutants_of, mutated
from mutants.trial import Baseline, Sandbox

root, folder = map(Path, sys.argv[1:3])
wanted = sys.argv[3:]
sandbox, source, tests = Sandbox(root, folder), Path("src/toy.py"), ["tests/test_toy.py"]
survey = sandbox.survey(source, tests)
text, ends = (root / source).read_text(), {}
for mutant in (one for one in mutants_of(text) if one.key in wanted):
    first = survey.first_for(mutant.lines)
    process = sandbox.begin(source, mutated(text, mutant.number), tests, first, limit_s=4)
    process.wait()
    ends[mutant.key] = sandbox.finish(process, source, text).outcome
print(json.dumps({"reached": survey.reached, "ends": ends, "after": (folder / source).read_text()}))
"""


def test_trials_of_a_toy(tmp_path: Path) -> None:
    """What a test notices is killed, what none notices survives, and what never ends is ended."""
    root = tmp_path / "root"
    for name, text in {
        "pyproject.toml": "[tool.pytest.ini_options]\nmarkers = ['slow: not here']\n",
        "src/toy.py": TOY,
        "tests/test_toy.py": (
            "from toy import double\n\n"
            "def test_it():\n    assert double(3) == 6\n\n"
            "def test_less():\n    assert double(-2) in (0, 2)\n"
        ),
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    expected = {
        "double: return 2 * number → return 3 * number": "killed",
        "double: while number < 0: → while number <= 0:": "survived",
        "double: number += 1 → number -= 1": "timeout",
        "double: return 2 * number → return None": "killed",
    }
    done = subprocess.run(
        [sys.executable, "-c", TRY_ALL, str(root), str(tmp_path / "copy"), *expected],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["reached"] == {
        "tests/test_toy.py::test_it": [2, 4],
        "tests/test_toy.py::test_less": [2, 3, 4],
    }
    assert told["ends"] == expected
    assert told["after"] == TOY == (root / "src/toy.py").read_text()
