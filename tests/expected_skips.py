"""Which tests may be skipped in CI, and why: all others find there what they need.

On any other machine a test may be skipped for whatever reason it gives.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

EXPECTED_SKIPS = {
    "(AVX2)": "a processor multiplies bytes or not; where it does, nothing is skipped",
    "process of low priority": "CI may run at one",
    "has no tiles (AMX)": "a processor has them or not; where it has, nothing is skipped",
    "CORLL_SCREENSHOTS=1 makes the pictures": "the README's pictures are made by hand",
    "Ray cannot start a cluster": "a sandbox may forbid what its daemons need",
    "needs dialogues of hh-rlhf": "the dialogues are not in the repository",
    "ParaDetox and CAD are no part": "people's edits are not in the repository",
}
"""A part of each reason that a test may give, and why it may."""


def in_ci() -> bool:
    """Say whether a skip must be an expected one."""
    return os.environ.get("CI") == "true"


def is_expected(reason: str) -> bool:
    """Say whether a test may be skipped for this reason, on this machine."""
    if "tiles (AMX)" in reason and _processor_has_tiles():
        return False
    return any(part in reason for part in EXPECTED_SKIPS)


def _processor_has_tiles() -> bool:
    cpu = Path("/proc/cpuinfo")
    return cpu.exists() and "amx_bf16" in cpu.read_text()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, fail a test that was skipped for a reason that is not expected there."""
    return _failed_if_unexpected((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI, fail a whole module that was skipped so."""
    return _failed_if_unexpected((yield))


def _failed_if_unexpected(report: Report) -> Report:
    if report.skipped and in_ci() and not hasattr(report, "wasxfail"):
        assert isinstance(report.longrepr, tuple)
        *_, reason = report.longrepr
        if not is_expected(reason):
            report.outcome = "failed"
            report.longrepr = f"{reason}\nCI expects no such skip; see tests/expected_skips.py"
    return report
