"""Who is begun next, who has to wait and how long, and who is told to come again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from asking import request
from hypothesis import given
from hypothesis import strategies as st

from corll.service.drafting.admission import Line
from corll.service.drafting.fairness import FairClocks, Held, Owner, in_turn
from corll.service.drafting.pace import Pace
from corll.service.drafting.requests import DraftJob, EngineBusyError, VersionFolder
from corll.service.drafting.turns import Batch, Turns

ANNA, BEN, CARA = Owner("shop", "anna"), Owner("shop", "ben"), Owner("desk", "cara")


def job(
    owner: Owner = ANNA, *, tokens: int = 100, prompt: int = 10, version: str | None = None
) -> DraftJob:
    """A draft of so many tokens at most, behind a prompt of so many."""
    folder = None if version is None else VersionFolder(version, Path(version))
    asked = request(owner=owner, max_new_tokens=tokens, version=folder)
    return DraftJob(asked, tuple(range(prompt)), lambda _: None)


def steady(step_s: float = 0.1) -> Pace:
    """A pace at which a token takes as long for many rows as for one, and prompts no time."""
    pace = Pace(prompt_token_s=0.0)
    for rows in (1, 4, 16, 64) * 200:
        pace.took_step(rows, step_s)
    return pace


def line(*, places: int = 128, rows: int = 64, longest_wait: float = 30.0, **more: object) -> Line:
    """A line at a steady pace; a fixed clock unless there is another."""
    pace = more.pop("pace", None) or steady()
    turns = Turns(rows, None, lambda _: 1_000, pace)  # type: ignore[arg-type]
    clock = more.pop("clock", lambda: 0.0)
    return Line(turns, places=places, longest_wait=longest_wait, clock=clock)  # type: ignore[arg-type]


def batch(jobs: Sequence[DraftJob], pace: Pace) -> Batch:
    return Batch.of(jobs, pace)


class TestTurns:
    def test_whoever_had_least_is_first_and_keys_come_before_users(self) -> None:
        clocks = FairClocks()
        for owner, others in ((ANNA, []), (BEN, [ANNA]), (CARA, [ANNA, BEN])):
            clocks.arrive(owner, others)
        clocks.charge({ANNA: 1, BEN: 1}, 2.0)
        clocks.charge({CARA: 1}, 1.5)
        # The shop had 2 s, more than the desk's 1.5, though neither of its users had as much.
        assert in_turn([ANNA, BEN, CARA], lambda one: one, clocks)[0] == CARA
        clocks.charge({CARA: 1}, 1.0)
        clocks.charge({BEN: 1}, 0.1)
        assert in_turn([BEN, CARA, ANNA], lambda one: one, clocks) == [ANNA, BEN, CARA]

    def test_who_comes_back_has_saved_up_no_turns(self) -> None:
        clocks = FairClocks()
        clocks.arrive(ANNA, [])
        clocks.charge({ANNA: 1}, 100.0)
        clocks.arrive(CARA, [ANNA])
        assert clocks.rank(CARA)[0] == clocks.rank(ANNA)[0] == 100.0

    def test_a_pause_forgives_nobody_while_others_are_there(self) -> None:
        clocks = FairClocks()
        clocks.arrive(ANNA, [])
        clocks.arrive(CARA, [ANNA])
        clocks.charge({CARA: 1}, 5.0)
        clocks.arrive(CARA, [ANNA])
        assert clocks.rank(CARA)[0] == 5.0
        clocks.arrive(BEN, [])  # nobody is there any more
        assert clocks.rank(CARA) == (0.0, 0.0)

    @given(st.lists(st.sampled_from([ANNA, BEN, CARA]), max_size=20))
    def test_nobodys_second_comes_before_anybodys_first(self, owners: list[Owner]) -> None:
        numbered = list(enumerate(owners))
        ordered = in_turn(numbered, lambda one: one[1], FairClocks())
        assert sorted(ordered) == numbered
        had: Counter[Owner] = Counter()
        places = []
        for _, owner in ordered:
            places.append(had[owner])
            had[owner] += 1
        assert places == sorted(places)
        for owner in (ANNA, BEN, CARA):
            own = [number for number, other in ordered if other == owner]
            assert own == sorted(own)

    @pytest.mark.parametrize(("held", "allowed"), [(0, True), (1, True), (2, False)])
    def test_a_user_has_at_most_half(self, held: int, allowed: bool) -> None:
        assert Held.of([(ANNA, held)]).allow(ANNA, 1, 4) is allowed

    @pytest.mark.parametrize(("held", "allowed"), [(2, True), (3, False)])
    def test_a_key_has_at_most_three_quarters(self, held: int, allowed: bool) -> None:
        assert Held.of([(ANNA, held)]).allow(BEN, 1, 4) is allowed
        assert Held.of([(ANNA, held)]).allow(CARA, 1, 4)

    def test_a_first_piece_is_allowed_however_large(self) -> None:
        assert Held.of([]).allow(ANNA, 10, 4)


class TestWhatIsBegun:
    def test_a_flood_leaves_rows_for_somebody_else(self) -> None:
        waiting = line(rows=8, longest_wait=1_000)
        for _ in range(20):
            waiting.join(job(), [])
        first = waiting.next([])
        assert len(first) == 4
        under_way = [batch(first, waiting.pace)]
        assert waiting.next(under_way) == []
        late = job(CARA)
        waiting.join(late, under_way)
        assert waiting.next(under_way) == [late]

    def test_a_flood_of_one_user_leaves_a_decoding_for_another_of_the_same_key(self) -> None:
        waiting = line(longest_wait=1_000)
        for number in range(20):
            waiting.join(job(version=f"v{number}"), [])
        under_way = []
        while begun := waiting.next(under_way):
            under_way.append(batch(begun, waiting.pace))
        assert len(under_way) == 2
        late = job(BEN)
        waiting.join(late, under_way)
        assert waiting.next(under_way) == [late]

    def test_others_ride_along_where_their_drafts_are_alike(self) -> None:
        waiting, jobs = line(), [job(ANNA), job(ANNA), job(BEN), job(CARA)]
        for one in jobs:
            waiting.join(one, [])
        assert set(waiting.next([])) == set(jobs)

    def test_prompts_that_are_begun_together_take_no_longer_than_a_second(self) -> None:
        pace = steady()
        pace.prompt_token_s = 0.01
        waiting = line(pace=pace)
        for _ in range(5):
            waiting.join(job(prompt=50, tokens=1), [])
        assert len(waiting.next([])) == 2

    @pytest.mark.parametrize(("tokens", "together"), [(44, 2), (64, 3), (84, 4)])
    def test_or_no_longer_than_a_quarter_of_a_long_draft(self, tokens: int, together: int) -> None:
        """A token takes 0.1 s, a prompt 0.5 s."""
        pace = steady()
        pace.prompt_token_s = 0.01
        waiting = line(pace=pace, longest_wait=1_000)
        for _ in range(8):
            waiting.join(job(prompt=50, tokens=tokens), [])
        assert len(waiting.next([])) == together

    def test_versions_begin_together_where_their_adapters_share_a_pass(self) -> None:
        clocks, jobs = FairClocks(), [job(version=name) for name in ("a", "b", "a")]
        jobs.append(job())
        apart = line().turns
        assert apart.next(jobs, [], clocks) == [jobs[0], jobs[2]]
        assert replace(apart, mixes=True).next(jobs, [], clocks) == jobs

    def test_no_more_versions_draw_than_memory_is_to_hold(self) -> None:
        clocks, jobs = FairClocks(), [job(version=f"v{n % 3}") for n in range(6)]
        turns = replace(line().turns, mixes=True, most_versions=2)
        first = turns.next(jobs, [], clocks)
        assert first == [jobs[0], jobs[1], jobs[3], jobs[4]]
        under_way = [batch(first, turns.pace)]
        ben = job(BEN, version="v2")
        assert turns.next([ben], under_way, clocks) == []  # it waits for one of them to end
        assert turns.next([job(BEN, version="v1")], under_way, clocks)
        assert turns.next([job(BEN)], under_way, clocks)

    def test_a_prompt_that_takes_longer_is_begun_alone(self) -> None:
        pace = steady()
        pace.prompt_token_s = 0.01
        waiting = line(pace=pace)
        long = job(prompt=500, tokens=1)
        waiting.join(long, [])
        waiting.join(job(tokens=1), [])
        assert waiting.next([]) == [long]

    def test_the_next_token_is_for_whoever_had_least(self) -> None:
        waiting = line()
        flood, late = batch([job()] * 8, waiting.pace), batch([job(CARA)], waiting.pace)
        waiting.charge(flood, 3.0)
        assert waiting.turn_of([flood, late]) == 1
        waiting.charge(late, 4.0)
        assert waiting.turn_of([flood, late]) == 0


class TestWaits:
    def test_a_draft_waits_for_what_its_own_user_has_under_way(self) -> None:
        """Two decodings of 10 s each take turns, so that each ends after 20 s."""
        waiting = line()
        under_way = [batch([job()], waiting.pace), batch([job()], waiting.pace)]
        assert waiting.wait_of(job(), under_way) == pytest.approx(20, rel=0.01)
        assert waiting.wait_of(job(BEN), under_way) == 0

    def test_what_waits_is_counted_with_those_that_share_a_decoding(self) -> None:
        waiting = line(rows=8, longest_wait=1_000)
        for _ in range(12):
            waiting.join(job(), [])
        # Three decodings of a user's four rows, 10 s each.
        assert waiting.wait_of(job(), []) == pytest.approx(30, rel=0.01)
        assert waiting.wait_of(job(CARA), []) == pytest.approx(0, abs=0.01)

    def test_shorter_drafts_than_asked_for_make_shorter_waits(self) -> None:
        pace = steady()
        for _ in range(50):
            pace.ended(25, 100)
        waiting = line(pace=pace)
        under_way = [batch([job()], pace), batch([job()], pace)]
        assert waiting.wait_of(job(), under_way) == pytest.approx(5, rel=0.01)

    @pytest.mark.parametrize(("bound", "is_taken"), [(20.5, True), (19.5, False)])
    def test_the_bound_is_on_what_is_expected(self, bound: float, is_taken: bool) -> None:
        waiting = line(longest_wait=bound)
        under_way = [batch([job()], waiting.pace), batch([job()], waiting.pace)]
        if is_taken:
            waiting.join(job(), under_way)
            assert len(waiting) == 1
            return
        with pytest.raises(
            EngineBusyError, match=r"longer than 19\.5 s; ask again in 20 s"
        ) as error:
            waiting.join(job(), under_way)
        assert error.value.retry_after == 20
        assert len(waiting) == 0
        waiting.join(job(BEN), under_way)  # others are let in

    def test_who_comes_again_when_told_is_begun_at_once(self) -> None:
        """The time that was told, at the pace at which it was told."""
        waiting = line(longest_wait=15)
        under_way = [batch([job()], waiting.pace), batch([job(tokens=200)], waiting.pace)]
        with pytest.raises(EngineBusyError) as error:
            waiting.join(job(), under_way)
        steps = error.value.retry_after / 0.1 / 2  # of each, in turns
        left = [replace(one, steps=one.steps - steps) for one in under_way]
        assert waiting.wait_of(job(), [one for one in left if one.steps > 0]) == 0

    def test_not_all_are_told_to_come_at_the_same_time(self) -> None:
        """Whoever is refused later comes later, by as much as one more takes: of five in 80 s."""
        now = [0.0]
        waiting = line(longest_wait=15, clock=lambda: now[0])
        there = [Owner(f"there {number}", "anna") for number in range(4)]
        under_way = [batch([job(owner, tokens=200)], waiting.pace) for owner in there]

        def told(key: str) -> int:
            with pytest.raises(EngineBusyError) as error:
                waiting.join(job(Owner(key, "anna")), under_way)
            return error.value.retry_after

        assert [told("first"), told("second"), told("third")] == [80, 96, 112]
        assert told("first") == 112  # behind the two others, and not behind itself
        now[0] = 1_000.0
        assert told("first") == 80

    def test_who_waited_longer_than_the_bound_is_told_so(self) -> None:
        now = [0.0]
        waiting = line(clock=lambda: now[0])
        early, again = job(), job()
        waiting.join(early, [])
        again.redraws = 1
        waiting.join_again([again], [])
        now[0] = 30.0
        assert waiting.take_overdue([]) == []
        now[0] = 30.5
        ((late, error),) = waiting.take_overdue([])
        assert late is early
        assert error.retry_after >= 1
        assert len(waiting) == 1  # what was begun before goes on


class TestBudgets:
    def test_of_the_places_a_user_has_half_and_a_key_three_quarters(self) -> None:
        waiting = line(places=8, longest_wait=1e6)
        for owner, places in ((ANNA, 4), (BEN, 2), (CARA, 2)):
            for _ in range(places):
                waiting.join(job(owner), [])
            reason = "Too many drafts" if owner == CARA else "Too many of your drafts"
            with pytest.raises(EngineBusyError, match=reason):
                waiting.join(job(owner), [])

    @pytest.mark.parametrize(("longest_wait", "is_taken"), [(78, False), (82, True)])
    def test_for_its_own_users_drafts_one_waits_half_as_long(
        self, longest_wait: float, is_taken: bool
    ) -> None:
        """Each takes 10 s, and two at a time 20: the fifth would wait 40 s."""
        waiting = line(longest_wait=longest_wait)
        for number in range(4):
            waiting.join(job(version=f"v{number}"), [])
        assert waiting.wait_of(job(version="v4"), []) == pytest.approx(40, rel=0.01)
        if is_taken:
            waiting.join(job(version="v4"), [])
        else:
            with pytest.raises(EngineBusyError, match="work enough; ask again in 40 s"):
                waiting.join(job(version="v4"), [])
            waiting.join(job(BEN, version="b"), [])

    @pytest.mark.parametrize(("longest_wait", "is_taken"), [(79, False), (82, True)])
    def test_for_its_own_keys_drafts_one_waits_three_quarters_as_long(
        self, longest_wait: float, is_taken: bool
    ) -> None:
        """Each of six users has one: three at a time take 30 s, so that the seventh waits 60."""
        waiting = line(longest_wait=longest_wait)
        for number in range(6):
            waiting.join(job(Owner("shop", f"u{number}"), version=f"v{number}"), [])
        if is_taken:
            waiting.join(job(version="v6"), [])
        else:
            with pytest.raises(EngineBusyError, match="work enough; ask again in 60 s"):
                waiting.join(job(version="v6"), [])
            waiting.join(job(CARA, version="c"), [])

    def test_what_is_alike_is_less_work_together(self) -> None:
        """Ten in one decoding take 10 s, and are begun at once."""
        waiting = line(longest_wait=1)
        for _ in range(10):
            waiting.join(job(), [])
        assert len(waiting) == 10

    def test_cancelled_ones_leave_the_line(self) -> None:
        waiting, gone, stays = line(), job(), job()
        waiting.join(gone, [])
        waiting.join(stays, [])
        gone.cancel()
        assert waiting.take_cancelled() == [gone]
        assert waiting.next([]) == [stays]


class TestPace:
    def test_a_step_is_a_line_through_what_was_measured(self) -> None:
        pace = Pace()
        for rows in (1, 2, 8, 32) * 300:
            pace.took_step(rows, 0.014 + 0.0004 * rows)
        assert pace.step_s(1) == pytest.approx(0.0144, rel=0.02)
        assert pace.step_s(64) == pytest.approx(0.0396, rel=0.02)

    def test_of_one_number_of_rows_others_are_guessed(self) -> None:
        pace = Pace()
        for _ in range(1_000):
            pace.took_step(1, 0.02)
        assert pace.step_s(1) == pytest.approx(0.02, rel=0.01)
        assert pace.step_s(33) == pytest.approx(0.04, rel=0.05)

    @given(
        st.lists(st.tuples(st.integers(1, 64), st.floats(0.0001, 10)), min_size=1, max_size=40),
        st.integers(1, 64),
    )
    def test_no_step_takes_no_time(self, measured: list[tuple[int, float]], rows: int) -> None:
        pace = Pace()
        for count, seconds in measured:
            pace.took_step(count, seconds)
        assert pace.step_s(rows) >= 0
        assert pace.step_s(rows + 1) >= pace.step_s(rows)

    @given(st.integers(1, 4_096), st.floats(0.01, 1), st.data())
    def test_what_goes_on_has_something_before_it(
        self, longest: int, grown: float, data: st.DataObject
    ) -> None:
        had = data.draw(st.integers(0, longest))
        assert Pace(grown=grown).steps(longest, had) >= 1
