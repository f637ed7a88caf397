"""Log-probabilities are told with the text of their tokens: by a stream what the whole has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from asking import Listener, request
from hypothesis import given
from hypothesis import strategies as st

from corll.policy import Policy
from corll.service.drafting.candidate_rows import Row
from corll.service.drafting.engine import Engine
from corll.service.drafting.following import Follower
from corll.service.drafting.requests import Delta, DraftJob, TokenLogprob


@pytest.fixture
def engine(policy: Policy) -> Iterator[Engine]:
    made = Engine(policy)
    yield made
    made.close()


class Spelled(Follower):
    """Follows ids that stand for pieces of bytes."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        def decode(token_ids: Sequence[int]) -> str:
            return b"".join(pieces[one] for one in token_ids).decode(errors="replace")

        self.of, self._decode = pieces, decode

    def _token_logprob(self, ids: tuple[int, ...], *_: Any, **__: Any) -> TokenLogprob:
        return TokenLogprob(str(ids[-1]), -0.5, self.of[ids[-1]])


def bytes_of(tokens: Sequence[TokenLogprob]) -> bytes:
    return b"".join(token.bytes for token in tokens)


def check(text: str, told: Sequence[Delta], tokens: Sequence[TokenLogprob], *, cut: bool) -> None:
    """The pieces make up the whole; each token begins in the text, and together they cover it."""
    assert "".join(one.text for one in told) == text
    assert [token for one in told for token in one.logprobs] == list(tokens)
    assert bytes_of(tokens).decode(errors="replace").startswith(text)
    if cut:
        assert len(bytes_of(tokens[:-1]).decode(errors="ignore")) < max(len(text), 1)
    else:
        assert bytes_of(tokens).decode(errors="replace") == text
    told_of = b""
    for piece in told:
        told_of += bytes_of(piece.logprobs)
        so_far = "".join(one.text for one in told[: told.index(piece) + 1])
        assert told_of.decode(errors="replace").startswith(so_far)


PIECES = st.lists(
    st.sampled_from([b"a", b"b", b"ab", b"abc", b" ", b"\xc3", b"\xbc", b"\xf0\x9f", b"\xa6\x8a"]),
    min_size=1,
    max_size=12,
)


@given(PIECES, st.lists(st.sampled_from(["b", "ab", "bc", "ca", "\u00fca", " a"]), max_size=2))
def test_a_stream_tells_the_tokens_of_the_whole(pieces: list[bytes], stops: list[str]) -> None:
    follower, told, row = Spelled(pieces), list[Any](), Row(0)
    asked = replace(request(), stop=tuple(stops), top_logprobs=0, max_new_tokens=len(pieces))
    job = DraftJob(asked, (1,), told.append)
    for count in range(1, len(pieces) + 1):
        ids = tuple(range(count))
        follower.read(row, job, ids, lambda: (-0.5, ()), finished=False)
        follower.tell(job, [row], progressed=False)
        if row.ended:
            break
    check(row.text, told, row.logprobs, cut=row.stopped)


def test_a_token_that_a_stop_cuts_is_told_whole_by_both(engine: Engine) -> None:
    """Stops of four characters, most of which begin and end inside of tokens."""
    cuts = 0
    for seed in range(16):
        asked = request(seed=seed, max_new_tokens=24, top_logprobs=0)
        free, stopped = Listener(), Listener()
        engine.submit(asked, free)
        stop = free.drawn.text(0)[seed % 8 :][:4]
        if "\N{REPLACEMENT CHARACTER}" in stop or len(stop) < 4:
            continue
        engine.submit(replace(asked, stop=(stop,)), stopped)
        drawn = stopped.drawn
        pieces = [one for one in stopped.events if isinstance(one, Delta)]
        check(drawn.text(0), pieces, drawn.logprobs[0], cut=True)
        cuts += bytes_of(drawn.logprobs[0]).decode(errors="replace") != drawn.text(0)
    assert cuts
