"""A short soak test of a real service: it is `make soak` that runs for hours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corll.files.durable import read_lines
from soak.__main__ import FIGURE, SAMPLES, VERDICTS, main
from soak.sampling import KEPT_FOR_GOOD, QUANTITIES


@pytest.mark.slow
def test_a_short_run_samples_draws_and_judges(tmp_path: Path) -> None:
    out = tmp_path / "soak"
    with pytest.raises(SystemExit):
        main(["--minutes", "1", "--out", str(out)])
    lines = [line for _, line in read_lines(out / SAMPLES)]
    assert len(lines) >= 20
    assert all(line["server_rss_mb"] > 0 < line["learner_rss_mb"] for line in lines)
    assert all(line["tables"].keys() > set(KEPT_FOR_GOOD) for line in lines)
    told = json.loads((out / VERDICTS).read_text())
    assert told["failures"] == []
    assert told["verdicts"].keys() == {one.name for one in QUANTITIES}
    assert {"draft", "edit", "import", "delete edit"} <= told["acts"].keys()
    assert (out / FIGURE).read_bytes().startswith(b"\x89PNG")
