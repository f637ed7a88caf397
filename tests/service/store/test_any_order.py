"""What a user, an operator and the learner do, in any order: nothing is learned twice."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select
from store_samples import (
    NOW,
    back,
    edit,
    kept_draft,
    new_version,
    register,
)

from corll.errors import InputError
from corll.service.store.accounts import User, get_or_create_user, set_consent
from corll.service.store.comparisons import record_comparison
from corll.service.store.database import Database
from corll.service.store.drafts import DraftRow
from corll.service.store.lineages import (
    ancestry,
    current_lineage,
    requeue_set_aside,
    serving_version,
    start_lineage,
    versions_of,
)
from corll.service.store.preferences import waiting_preferences
from corll.service.store.rows import new_id
from corll.service.store.schema import comparisons, drafts, preferences, version_preferences

# What a user, an operator and the learner may do, in any order.
EVENTS = st.one_of(
    st.tuples(st.just("edit"), st.integers(0, 2), st.sampled_from(["Hi", "Hi Tom", "Hello there"])),
    st.tuples(st.just("compare"), st.integers(0, 3), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("learn"), st.integers(1, 3)),
    st.tuples(st.just("reject"), st.integers(1, 3)),
    st.tuples(st.just("rollback"), st.integers(0, 6), st.booleans()),
    st.tuples(st.just("consent"), st.booleans(), st.booleans()),
    st.just(("requeue",)),
    st.just(("lineage",)),
)


@settings(
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(events=st.lists(EVENTS, max_size=20))
def test_in_any_order_a_preference_is_learned_at_most_once(
    database: Database,
    events: list[tuple],  # type: ignore[type-arg]
) -> None:
    def play(db: Connection) -> None:
        user = get_or_create_user(db, "home", new_id("name"), store=True, learn=True, now=NOW)
        own = [kept_draft(db, user) for _ in range(3)]
        own.append(kept_draft(db, user, status="cancelled"))
        for event in events:
            if event[0] == "edit":
                edit(db, own[event[1]], event[2])
            elif event[0] == "compare":
                compare(db, own[event[1]], own[event[2]], will_learn=event[3])
            else:
                _act(db, user, event)
            check_the_rules(db, user)

    database.write(play)


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


def _act(db: Connection, user: User, event: tuple) -> None:  # type: ignore[type-arg]
    kind, *values = event
    if kind in ("learn", "reject"):
        ids = [row.id for row in waiting_preferences(db, user.id, limit=values[0])]
        state = "candidate" if kind == "learn" else "rejected"
        register(db, new_version(db, user, state=state), *ids, serve=kind == "learn")
    elif kind == "rollback":
        with db.begin_nested(), _allowed():
            back(db, user, values[0], requeue=values[1])
    elif kind == "consent":
        set_consent(db, user.id, learn=values[0], include_past=values[1], actor="a", now=NOW)
    elif kind == "requeue":
        requeue_set_aside(db, user.id, actor="a", now=NOW)
    elif (lineage := current_lineage(db, user.id)) is not None:
        start_lineage(db, user_id=user.id, reference_id=lineage.reference_id, now=NOW)


class _allowed:  # noqa: N801
    """Lets a rollback to a version that cannot serve be refused."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type | None, *rest: object) -> bool:
        return kind is InputError


def check_the_rules(db: Connection, user: User) -> None:
    serving = serving_version(db, user.id)
    line = [] if serving is None else [version.id for version in ancestry(db, serving.id)]
    links = select(version_preferences.c.preference_id).where(
        version_preferences.c.version_id.in_(line)
    )
    taught_to_line = [row[0] for row in db.execute(links)]
    assert len(set(taught_to_line)) == len(taught_to_line)
    rows = db.execute(select(preferences).where(preferences.c.user_id == user.id)).all()
    assert {row.id for row in rows if row.state == "learned"} == set(taught_to_line)
    for row in rows:
        assert (row.version_id in line) == (row.state == "learned")
    cancelled = select(drafts.c.id).where(drafts.c.status == "cancelled")
    compared = (
        select(preferences.c.state)
        .join(comparisons)
        .where(
            comparisons.c.chosen_draft_id.in_(cancelled)
            | comparisons.c.rejected_draft_id.in_(cancelled)
        )
    )
    assert set(db.execute(compared).scalars()) <= {"withheld", "set_aside"}
    serving_states = [v.id for v in versions_of(db, user.id) if v.state == "serving"]
    assert serving_states == ([] if serving is None else [serving.id])
    current = get_or_create_user(db, user.namespace, user.name, store=True, now=NOW)
    if not current.learn:
        assert waiting_preferences(db, user.id, limit=1) == []
