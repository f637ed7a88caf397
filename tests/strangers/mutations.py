"""Files as a stranger might write them: small valid ones of the tests, changed at random.

`CORLL_FUZZ_EXAMPLES` says how many are tried of each kind; `make fuzz` tries thousands. What was
once found is kept in `corpus`, and tried in every run.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from corll.errors import CorllError

CORPUS = Path(__file__).parent / "corpus"
MANY = os.environ.get("CORLL_FUZZ_EXAMPLES")

fuzzed = settings(
    max_examples=int(MANY or 25),
    derandomize=MANY is None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NUMBERS = [0, -1, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, 10**30]
_ODD_BYTES = [
    *(b"\x00", b"\xff", b"\n", b"\r\n", b'"', b"'", b"<", b">", b"{", b"}", b"[", b"]", b"\\"),
    *(number.to_bytes(8, "little") for number in NUMBERS if 0 <= number < 2**64),
    *(
        b"NaN",
        b"1e999",
        b"\\ud800",
        b"\xed\xa0\x80",
        b"\n\nFrom a Mon 00:00\n",
        b"../../",
        b"9" * 5000,
    ),
]
ODD_VALUES: list[Any] = [
    *NUMBERS,
    *(None, True, False, 0.5, 1e308, float("inf"), float("nan"), "", "x", "(", "../../x", "\ud800"),
    *([], {}, [[]], [None], {"x": None}, ["x", 1], [-1], {"": {}}, "9" * 5000, [[[[[[[[1]]]]]]]]),
]


@st.composite
def changed_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """The content of a file with up to four changes."""
    found = bytearray(content)
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(found)))
        end = min(len(found), start + draw(st.sampled_from([0, 1, 4, 8, 60])))
        kind = draw(st.sampled_from(["put", "cut", "repeat", "end"]))
        if kind == "put":
            found[start:end] = draw(st.sampled_from(_ODD_BYTES) | st.binary(max_size=8))
        elif kind == "cut":
            del found[start:end]
        elif kind == "repeat":
            found[start:start] = found[start:end] * draw(st.sampled_from([1, 3, 100]))
        else:
            del found[start:]
    return bytes(found)


@st.composite
def changed_json(draw: st.DrawFn, value: Any) -> Any:
    """A value of JSON with up to three changes, anywhere in it."""
    found = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        inside = found
        while True:
            keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(inside[key], dict | list) and draw(st.booleans()):
                inside = inside[key]
                continue
            if draw(st.integers(0, 4)) == 0 and isinstance(inside, dict):
                del inside[key]
            else:
                inside[key] = draw(st.sampled_from(ODD_VALUES))
            break
    return found


def reads(read: Callable[[], object]) -> None:
    """Read what a stranger wrote: it is taken, or refused by an error of ours."""
    with suppress(CorllError):
        read()


def within(megabytes: int, code: str, *arguments: object) -> str:
    """What a program prints that may take so much memory, and a minute and a half of a processor.

    It has `CorllError`, `sys.argv` and `read`, which prints what an error of ours says.
    """
    limits = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({megabytes * 2**20},) * 2)\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (90, 90))\n"
        "from corll.errors import CorllError\n"
        "def read(function, *arguments):\n"
        "    try:\n        print('taken', function(*arguments))\n"
        "    except CorllError as error:\n        print('refused', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", limits + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
