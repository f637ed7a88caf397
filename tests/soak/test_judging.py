"""The rule by which a soak test judges: a leak that was made up is found, noise is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from soak.judging import Quantity, judge

TIMES_S = np.arange(0, 7200, 15.0)
HOURS = TIMES_S / 3600
MEMORY = Quantity("memory", "MB", 4)


def noise(seed: int, scale: float) -> NDArray[np.float64]:
    """Noise of which half is left after a minute."""
    generator = np.random.default_rng(seed)
    found = [0.0]
    for one in generator.normal(0, scale, len(TIMES_S) - 1):
        found.append(0.84 * found[-1] + one)
    return np.array(found)


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_flat(seed: int) -> None:
    assert judge(MEMORY, TIMES_S, 600 + noise(seed, 1)).verdict == "flat"


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_is_found_behind_the_same_noise(seed: int) -> None:
    found = judge(MEMORY, TIMES_S, 600 + 30 * HOURS + noise(seed, 1))
    assert found.verdict == "growing"
    assert found.low < 30 < found.high or abs(found.slope - 30) < 5


def test_a_leak_of_one_handle_in_a_quarter_of_an_hour_is_found() -> None:
    handles = Quantity("handles", "handles", 1)
    assert judge(handles, TIMES_S, 24 + np.floor(4 * HOURS)).verdict == "growing"
    assert judge(handles, TIMES_S, 24 + (TIMES_S / 15) % 3).verdict == "flat"


def test_what_fills_and_is_emptied_is_flat() -> None:
    journal = Quantity("journal", "MB", 1)
    assert judge(journal, TIMES_S, TIMES_S % 300 / 100).verdict == "flat"


def test_what_grows_while_it_warms_up_is_left_out() -> None:
    assert judge(MEMORY, TIMES_S, 600 + 400 * np.minimum(HOURS, 0.5)).verdict == "flat"


def test_of_a_short_and_noisy_run_most_are_neither() -> None:
    short = TIMES_S / 100
    found = [judge(MEMORY, short, 600 + noise(seed, 1)).verdict for seed in range(20)]
    assert found.count("unsure") >= 15


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        judge(MEMORY, TIMES_S[:8], noise(1, 1)[:8])
