"""In CI a skip that is not expected fails; elsewhere any is fine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SKIPPED_TEST = "import pytest\ndef test_it():\n    pytest.skip({reason!r})\n"
SKIPPED_MODULE = "import pytest\npytest.skip({reason!r}, allow_module_level=True)\n"


def run(folder: Path, source: str, reason: str, **environment: str) -> str:
    """Run the test in a process with the hooks that our conftest has, and return what it says."""
    (folder / "test_sample.py").write_text(source.format(reason=reason))
    (folder / "conftest.py").write_text("from expected_skips import *")
    kept = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", folder, folder],
        env={**kept, **environment, "PYTHONPATH": str(TESTS)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize("source", [SKIPPED_TEST, SKIPPED_MODULE])
def test_a_skip_that_is_not_expected_fails_in_ci(tmp_path: Path, source: str) -> None:
    said = run(tmp_path, source, "there is no browser", CI="true")
    assert "1 failed" in said or "1 error" in said, said
    assert "there is no browser\nCI expects no such skip" in said


def test_one_that_is_expected_does_not(tmp_path: Path) -> None:
    said = run(tmp_path, SKIPPED_TEST, "needs dialogues of hh-rlhf, here", CI="true")
    assert "1 skipped" in said
    assert "failed" not in said


@pytest.mark.parametrize("source", [SKIPPED_TEST, SKIPPED_MODULE])
def test_elsewhere_a_test_may_be_skipped_for_its_own_reasons(tmp_path: Path, source: str) -> None:
    said = run(tmp_path, source, "there is no browser")
    assert "1 skipped" in said
    assert "failed" not in said
