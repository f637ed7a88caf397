"""What two users, an operator and the learner do, in any order: nothing is learned twice.

What the store says is held to what its rows say: which versions serve, and what they were taught.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Row, select
from store_samples import (
    NOW,
    back,
    deleted,
    draft_of,
    edit,
    kept_draft,
    new_version,
    register,
)

from corll.errors import InputError
from corll.service.store.accounts import User, get_or_create_user, set_consent
from corll.service.store.comparisons import record_comparison
from corll.service.store.database import Database
from corll.service.store.drafts import DraftRow, edits_of
from corll.service.store.imports import NewItem, add_import, add_imported_preference
from corll.service.store.lineages import (
    ancestry,
    current_lineage,
    requeue_set_aside,
    serving_version,
    start_lineage,
)
from corll.service.store.preferences import count_waiting, waiting_preferences
from corll.service.store.rows import new_id
from corll.service.store.schema import (
    aliases,
    comparisons,
    drafts,
    edits,
    imports,
    lineages,
    preferences,
    users,
    version_preferences,
    versions,
)
from corll.service.versions.forgetting import find_target

TEXTS = ("Hi", "Hi Tom", "Hello there")


class Event(NamedTuple):
    """Something that one of the users, or the service for them, does; numbers say what with."""

    who: int
    kind: int
    first: int
    second: int
    flag: bool


EVENTS = st.builds(
    Event,
    st.sampled_from([0, 0, 0, 0, 1]),
    st.integers(0, 999),
    st.integers(0, 3),
    st.integers(0, 3),
    st.booleans(),
)


@dataclass(frozen=True)
class State:
    """All rows that are about one user, as plain tuples."""

    learn: bool
    preferences: dict[str, Row]  # type: ignore[type-arg]
    versions: dict[str, Row]  # type: ignore[type-arg]
    taught: dict[str, set[str]]
    replaced: set[str]
    sent: bool
    alias: str | None
    open_lineages: list[str]

    def line(self) -> list[str]:
        """List the version that serves and its ancestors, by their rows."""
        line, at = [], self.alias
        while at is not None:
            line.append(at)
            at = self.versions[at].parent_id
        return line

    def in_state(self, *states: str) -> set[str]:
        return {key for key, row in self.preferences.items() if row.state in states}

    def may_serve(self) -> list[int]:
        """List the numbers that a rollback may go to from what serves; 0 is the reference."""
        served = [
            row.number
            for row in self.versions.values()
            if row.state == "retired" and row.lineage_id in self.open_lineages
            if row.erased_at is None
        ]
        return [*([0] if self.alias else []), *sorted(served)]

    def kind(self, number: int) -> str:
        """Choose what happens: something that has an effect; what leads to rare states, often."""
        waits, may_roll_back = bool(self.in_state("waiting")), bool(self.may_serve())
        imported = [row.state for row in self.preferences.values() if row.import_id]
        # What was learned, and must not wait again once it is unlearned.
        was_taught = set().union(*self.taught.values())
        at_stake = self.replaced & was_taught
        weights = {
            "edit": 16 if self.in_state("set_aside") else 4,
            "compare": 2,
            "import": 2,
            "delete": 8 if "learned" in imported else bool(imported),
            "forget": 3 * self.sent,
            "unlearn": bool(self.alias),
            "learn": 12 * waits,
            "reject": 2 * waits,
            "rollback": (32 if at_stake else 8) * may_roll_back,
            "requeue": 2 * bool(self.in_state("set_aside")),
            "lineage": 2 * bool(self.alias),
            "withdraw": self.learn,
            "consent": bool(self.in_state("withheld")) if self.learn else 12,
        }
        kinds = [kind for kind, weight in weights.items() for _ in range(weight)]
        return kinds[number % len(kinds)]


@settings(
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(events=st.lists(EVENTS, min_size=12, max_size=30))
def test_in_any_order_a_preference_is_learned_at_most_once(
    database: Database, events: list[Event]
) -> None:
    def play(db: Connection) -> None:
        both = [
            get_or_create_user(db, "home", new_id("name"), store=True, learn=True, now=NOW)
            for _ in range(2)
        ]
        own = [
            [*(kept_draft(db, user) for _ in range(2)), kept_draft(db, user, status="cancelled")]
            for user in both
        ]
        ids = [user.id for user in both]
        states = states_of(db, ids)
        for event in events:
            user, before = both[event.who], states[event.who]
            kind = before.kind(event.kind)
            _act(db, user, own[event.who], kind, event, before)
            after = states_of(db, ids)
            assert after[1 - event.who] == states[1 - event.who], "nothing of the other user moves"
            gone = gone_for_good(db, user)
            check_the_rules(db, user, after[event.who], gone)
            check_the_outcome(kind, event, before, after[event.who], gone)
            states = after

    database.write(play)


def states_of(db: Connection, ids: Sequence[str]) -> list[State]:
    """Read the rows that are about each of these users now."""

    def rows(table, *columns):  # type: ignore[no-untyped-def]
        of_users = table.c.id if table is users else table.c.user_id
        return db.execute(select(of_users.label("owner"), *columns).where(of_users.in_(ids))).all()

    def each(found, owner):  # type: ignore[no-untyped-def]
        return {row.id: row for row in found if row.owner == owner}

    own, kept = versions.c, preferences.c
    all_versions = rows(
        versions, own.id, own.parent_id, own.lineage_id, own.state, own.number, own.erased_at
    )
    all_kept = rows(preferences, kept.id, kept.state, kept.version_id, kept.reason, kept.import_id)
    learns = rows(users, users.c.id, users.c.learn)
    names = rows(aliases, aliases.c.version_id)
    starts = rows(lineages, lineages.c.id, lineages.c.ended_at)
    link = version_preferences.c
    links = select(link.version_id, link.preference_id).join(versions).where(own.user_id.in_(ids))
    expressed = rows(edits, edits.c.preference_id, edits.c.state)
    taught: dict[str, set[str]] = {row.id: set() for row in all_versions}
    for version_id, preference_id in db.execute(links):
        assert preference_id not in taught[version_id]
        taught[version_id].add(preference_id)
    return [
        State(
            learn=each(learns, owner)[owner].learn,
            preferences=each(all_kept, owner),
            versions=each(all_versions, owner),
            taught={key: taught[key] for key in each(all_versions, owner)},
            replaced={
                row.preference_id
                for row in expressed
                if row.owner == owner and row.preference_id and row.state == "replaced"
            },
            sent=any(row.owner == owner for row in expressed),
            alias=next((row.version_id for row in names if row.owner == owner), None),
            open_lineages=[row.id for row in starts if row.owner == owner and row.ended_at is None],
        )
        for owner in ids
    ]


def _act(
    db: Connection, user: User, own: Sequence[DraftRow], kind: str, event: Event, before: State
) -> None:
    match kind:
        case "edit":
            draft = own[
                (0, 0, 1, 2)[event.first]
            ]  # one draft mostly, whose edits replace each other
            edit(db, draft, TEXTS[event.second % 3], will_learn=draft.status == "complete")
        case "compare":
            compare(db, own[event.first % 3], own[event.second % 3], will_learn=event.flag)
        case "import":
            _import(db, user)
        case "delete":
            of_user = select(imports.c.id).where(imports.c.user_id == user.id)
            for import_id in db.execute(of_user.order_by(imports.c.number)).scalars().all()[-2:]:
                if find_target(db, "import", import_id) is not None:
                    deleted(db, "import", import_id)
        case "forget":
            newest = edits_of(db, user.id, limit=4)
            deleted(db, "edit", newest[event.first % len(newest)].id)
        case "unlearn":
            deleted(db, "model", user.id)
        case "learn" | "reject":
            waiting = waiting_preferences(db, user.id, limit=1 + event.first)
            state = "candidate" if kind == "learn" else "rejected"
            version = new_version(db, user, state=state)
            register(db, version, *(row.id for row in waiting), serve=kind == "learn")
        case "rollback":
            _roll_back(db, user, event, before)
        case "withdraw":
            set_consent(db, user.id, learn=False, actor="a", now=NOW)
        case "consent":
            set_consent(db, user.id, learn=True, include_past=event.flag, actor="a", now=NOW)
        case "requeue":
            requeue_set_aside(db, user.id, actor="a", now=NOW)
        case "lineage" if (lineage := current_lineage(db, user.id)) is not None:
            start_lineage(db, user_id=user.id, reference_id=lineage.reference_id, now=NOW)


def compare(db: Connection, chosen: DraftRow, rejected: DraftRow, *, will_learn: bool) -> None:
    record_comparison(
        db,
        chosen=chosen,
        chosen_choice=0,
        rejected=rejected,
        rejected_choice=1,
        will_learn=will_learn,
        reason=None,
        idempotency_key=None,
        now=NOW,
    )


def _import(db: Connection, user: User) -> None:
    draft = draft_of(user, source="import")
    items = [NewItem(draft.prompt, None, "Hi Tom")]
    job = add_import(db, user_id=user.id, items=items, actor="a", now=NOW)
    add_imported_preference(db, draft=draft, text="Hi Tom", import_id=job.id, now=NOW)


def _roll_back(db: Connection, user: User, event: Event, before: State) -> None:
    """Roll back to what may serve; now and then to any version, which may be refused."""
    allowed = before.may_serve()
    anything = event.second == 3
    numbers = sorted(row.number for row in before.versions.values()) if anything else allowed
    target = numbers[event.first % len(numbers)]
    serving = serving_version(db, user.id)
    if target in allowed or (serving is not None and target == serving.number):
        served = back(db, user, target, requeue=event.flag)
        assert (0 if served is None else served.number) == target
    else:
        with pytest.raises(InputError, match=f"version {target} "), db.begin_nested():
            back(db, user, target, requeue=event.flag)


def gone_for_good(db: Connection, user: User) -> set[str]:
    """Read what is never learned again: of a cancelled draft, or of a deleted import."""
    cancelled = select(drafts.c.id).where(
        drafts.c.user_id == user.id, drafts.c.status == "cancelled"
    )
    compared = select(comparisons.c.preference_id).where(
        comparisons.c.user_id == user.id, comparisons.c.chosen_draft_id.in_(cancelled)
    )
    deleted = select(imports.c.id).where(
        imports.c.user_id == user.id, imports.c.deleted_at.is_not(None)
    )
    gone = (
        preferences.c.draft_id.in_(cancelled)
        | preferences.c.id.in_(compared)
        | preferences.c.import_id.in_(deleted)
    )
    query = select(preferences.c.id).where(preferences.c.user_id == user.id, gone)
    return set(db.execute(query).scalars())


def check_the_rules(db: Connection, user: User, now: State, gone: set[str]) -> None:
    """Check what holds at all times."""
    line = now.line()
    serving = serving_version(db, user.id)
    assert (None if serving is None else serving.id) == now.alias
    if now.alias is not None:
        assert [version.id for version in ancestry(db, now.alias)] == line
    taught_to_line = [key for version in line for key in now.taught[version]]
    assert len(set(taught_to_line)) == len(taught_to_line)
    assert now.in_state("learned") == set(taught_to_line)
    for key, row in now.preferences.items():
        taught_by = [version for version in line if key in now.taught[version]]
        assert row.version_id == (taught_by[0] if taught_by else None)
        if row.state in ("waiting", "learned", "replaced"):
            assert row.reason is None
        elif row.state == "set_aside":
            assert row.reason
    assert [key for key, row in now.versions.items() if row.state == "serving"] == line[:1]
    assert len(now.open_lineages) <= 1
    waiting = now.in_state("waiting")
    assert now.learn or not waiting
    assert count_waiting(db, user.id) == len(waiting)
    assert not waiting & gone
    assert now.in_state("replaced") <= now.replaced <= now.in_state("replaced", "learned")


def check_the_outcome(kind: str, event: Event, before: State, now: State, gone: set[str]) -> None:
    """Check what this event must have done, and that nothing else happened."""
    unlearned = before.in_state("learned") & (set(now.preferences) - now.in_state("learned"))
    states = {now.preferences[key].state for key in unlearned - gone} - {"replaced"}
    assert {now.preferences[key].state for key in unlearned & gone} <= {"set_aside", "replaced"}
    for row in (now.preferences[key] for key in unlearned):
        assert bool(row.reason) == (row.state not in ("waiting", "replaced"))
    waits = "waiting" if now.learn else "withheld"
    match kind:
        case "learn":
            assert now.alias is not None
            first = list(before.in_state("waiting"))
            assert len(now.taught[now.alias]) == min(1 + event.first, len(first))
        case "reject":
            (version,) = set(now.versions) - set(before.versions)
            rejected = [key for key, row in before.versions.items() if row.state == "rejected"]
            again = now.taught[version] & set().union(*(before.taught[key] for key in rejected))
            assert again <= now.in_state("set_aside")
            assert now.taught[version] - again <= now.in_state("waiting")
            assert now.alias == before.alias
        case "forget" | "delete":
            assert states <= {waits}
        case "unlearn":
            assert now.alias is None
            assert states <= {"set_aside"}
        case "rollback":
            assert states <= {waits if event.flag else "set_aside"}
        case "lineage":
            assert now.alias is None
            assert states <= {waits}
        case "withdraw":
            assert now.in_state("withheld") >= before.in_state("waiting", "withheld")
            assert all(now.preferences[key].reason for key in before.in_state("waiting"))
        case "consent" if event.flag:
            assert now.in_state("withheld") <= gone
            assert now.in_state("waiting") >= before.in_state("waiting")
        case "consent":
            assert now.preferences == before.preferences
        case "requeue":
            assert now.in_state("set_aside") <= gone
            released = before.in_state("set_aside") - gone
            assert now.in_state(waits) >= released
            assert now.learn or all(now.preferences[key].reason for key in released)
