"""Which arm drafts for a user, and what a coin makes of the costs of their edits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection
from store_samples import NOW, add_user, draft_of, edit

from corll.service import feedback
from corll.service.arms import choice_of, choose_arm, coin_of, settle
from corll.service.drafting.serving import Serving
from corll.service.feedback import JudgedEdit
from corll.service.settings import ServiceSettings
from corll.service.store import coins, drafts
from corll.service.store.accounts import User, set_consent
from corll.service.store.base_switch import switch_base
from corll.service.store.bases import record_base
from corll.service.store.drafts import DraftRow
from corll.service.store.lineages import (
    add_reference,
    find_reference,
    get_or_create_base_reference,
    start_lineage,
)
from corll.verdicts.arms import ARMS, MOST_TRIED, TRIED, WATCHED, Arm, Chosen, Toss
from corll.verdicts.evidence import EditScores, Evidence

CHALLENGER, SERVING = 0.0, TRIED
"""Numbers of chance at which the challenger drafts, and just not."""


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    return ServiceSettings(data_dir=tmp_path)


def chosen(
    db: Connection,
    user: User,
    settings: ServiceSettings,
    *,
    letters: bool = True,
    learned: bool = True,
    may_toss: bool = True,
    chance: float = SERVING,
) -> Chosen:
    return choose_arm(
        db,
        user,
        settings,
        letters=letters,
        learned=learned,
        may_toss=may_toss,
        chance=lambda: chance,
    )


def tossed(user: User, arm: Arm, *, trial: int = 0, share: float = TRIED) -> DraftRow:
    return draft_of(user, arm=arm, trial=trial, share=share, blind=True)


def decide(db: Connection, user: User, *, worse: Arm = "both", better: Arm = "memory") -> int:
    """Settles drafts of both arms until their trial is decided; returns how many."""
    first = coins.coin_of(db, user.id)
    trial = coins.first_trial(db, user.id) if first is None else first.trial
    for count in range(1, 1_000):
        arm, cost = (worse, 2.0) if count % 2 else (better, 0.0)
        settle(db, tossed(user, arm, trial=trial), cost, now=NOW + count)
        after = coins.coin_of(db, user.id)
        assert after is not None
        if after.trial != trial:
            return count
    raise AssertionError("never decided")


def test_at_first_what_was_learned_serves_behind_letters_against_letters_alone(
    db: Connection, ada: User, settings: ServiceSettings
) -> None:
    assert chosen(db, ada, settings) == Chosen("both", Toss("both", TRIED, 0))
    assert chosen(db, ada, settings, chance=CHALLENGER).arm == "memory"


def test_without_letters_among_the_settings_it_is_tried_against_the_base(
    db: Connection, ada: User, settings: ServiceSettings
) -> None:
    bare = settings.with_settings(memory="none")
    assert chosen(db, ada, bare, letters=False).arm == "weights"
    assert chosen(db, ada, bare, letters=False, chance=CHALLENGER).arm == "base"


@pytest.mark.parametrize(
    ("letters", "learned", "arm"),
    [(False, False, "base"), (True, False, "memory"), (False, True, "weights")],
)
def test_where_an_arm_of_the_trial_is_not_there_no_coin_decides(
    db: Connection, ada: User, settings: ServiceSettings, letters: bool, learned: bool, arm: Arm
) -> None:
    for chance in (CHALLENGER, SERVING):
        found = chosen(db, ada, settings, letters=letters, learned=learned, chance=chance)
        assert found == Chosen(arm)


def test_who_may_not_be_tossed_for_gets_who_serves(
    db: Connection, ada: User, settings: ServiceSettings
) -> None:
    assert chosen(db, ada, settings, may_toss=False, chance=CHALLENGER) == Chosen("both")


@pytest.mark.parametrize("arm", ARMS)
def test_a_chosen_arm_drafts_without_a_coin(
    db: Connection, ada: User, settings: ServiceSettings, arm: Arm
) -> None:
    fixed = settings.with_settings(serving=arm)
    assert chosen(db, ada, fixed, chance=CHALLENGER) == Chosen(arm)
    assert chosen(db, ada, fixed, letters=False, learned=False) == Chosen("base")


def test_a_users_choice_goes_before_the_services_and_is_theirs_alone(
    db: Connection, ada: User, settings: ServiceSettings
) -> None:
    bob = add_user(db, "bob")
    ada = set_consent(db, ada.id, arm="base", actor="a", now=NOW)
    assert choice_of(ada, settings) == "base"
    assert chosen(db, ada, settings) == Chosen("base")
    assert chosen(db, bob, settings.with_settings(serving="memory")) == Chosen("memory")
    ada = set_consent(db, ada.id, arm="auto", actor="a", now=NOW)
    assert chosen(db, ada, settings.with_settings(serving="base")).toss is not None


def test_the_better_arm_serves_from_then_on_and_the_other_is_watched(
    db: Connection, ada: User, settings: ServiceSettings
) -> None:
    bob = add_user(db, "bob")
    count = decide(db, ada)
    assert 5 < count < 60
    assert chosen(db, ada, settings, chance=WATCHED) == Chosen("memory", Toss("memory", WATCHED, 1))
    assert chosen(db, ada, settings, chance=0.0).arm == "both"
    (trial,) = coins.trials_of(db, ada.id)
    assert (trial.winner, trial.loser, trial.drafts) == ("memory", "both", count)
    assert trial.decided_at == NOW + count
    assert (coins.coin_of(db, bob.id), coins.trials_of(db, bob.id)) == (None, [])


def test_what_other_users_found_makes_a_decision_come_sooner(
    db: Connection, ada: User, settings: ServiceSettings
) -> None:
    others = [add_user(db, name) for name in ("bob", "cy", "di", "eve", "fay", "gil", "hal", "ida")]
    counts = [decide(db, user) for user in (ada, *others)]
    assert counts[-1] < counts[0]
    assert coins.prior_of(db).wins == {("memory", "both"): 9}
    against = add_user(db, "odd")
    assert decide(db, against, worse="memory", better="both") > counts[0]


def test_a_draft_on_which_no_coin_decided_decides_nothing(
    db: Connection, ada: User, settings: ServiceSettings
) -> None:
    settle(db, draft_of(ada, arm="both"), 1.0, now=NOW)
    settle(db, draft_of(ada), 1.0, now=NOW)
    assert coins.coin_of(db, ada.id) is None


def test_costs_of_an_earlier_trial_decide_nothing(
    db: Connection, ada: User, settings: ServiceSettings
) -> None:
    decide(db, ada)
    before = coins.coin_of(db, ada.id)
    settle(db, tossed(ada, "both", trial=0), 9.0, now=NOW)
    assert coins.coin_of(db, ada.id) == before


def test_a_trial_that_is_not_decided_ends_and_who_serves_goes_on(
    db: Connection, ada: User, settings: ServiceSettings
) -> None:
    for number in range(MOST_TRIED - 1):
        settle(db, tossed(ada, "memory" if number % 3 else "both"), 0.5, now=NOW)
    assert coin_of(db, ada, settings).share == TRIED
    settle(db, tossed(ada, "both"), 0.5, now=NOW)
    after = coin_of(db, ada, settings)
    assert (after.serving, after.challenger, after.share) == ("both", "memory", WATCHED)
    assert coins.trials_of(db, ada.id) == []


HARM: dict[Arm, EditScores] = {"weights": EditScores(4.0, None), "base": EditScores(3.0, None)}


class TestOtherWeights:
    """What is known of arms is of the weights that served."""

    def reference(self, db: Connection, *, adapter: str | None = None, base: str = "f0") -> str:
        about = {"base_model": base, "base_fingerprint": base, "now": NOW}
        if adapter is None:
            return get_or_create_base_reference(db, **about).id  # type: ignore[arg-type]
        names = {"name": adapter, "fingerprint": adapter, "folder": f"references/{adapter}"}
        return add_reference(db, **names, **about).id  # type: ignore[arg-type]

    def known(self, db: Connection, *users: User) -> None:
        """A decided trial, and evidence, of each user."""
        for user in users:
            decide(db, user)
            coins.keep_evidence(db, user.id, Evidence().after(HARM), now=NOW)

    def start(self, db: Connection, user: User, reference_id: str) -> None:
        start_lineage(db, user_id=user.id, reference_id=reference_id, now=NOW)

    def test_the_coin_begins_anew_where_a_user_moves_to_an_adapter(
        self, db: Connection, ada: User, settings: ServiceSettings
    ) -> None:
        bob = add_user(db, "bob")
        for user in (ada, bob):
            self.start(db, user, self.reference(db))
        self.known(db, ada, bob)
        before, evidence = coins.coin_of(db, bob.id), coins.evidence_of(db, bob.id)
        trials = coins.trials_of(db, ada.id)
        self.start(db, ada, self.reference(db, adapter="house style"))
        assert chosen(db, ada, settings) == Chosen("both", Toss("both", TRIED, 2))
        assert coin_of(db, ada, settings).test.count == 0
        assert coins.evidence_of(db, ada.id) == Evidence()
        assert coins.trials_of(db, ada.id) == trials != []
        assert (coins.coin_of(db, bob.id), coins.evidence_of(db, bob.id)) == (before, evidence)

    def test_drafts_of_before_decide_nothing_and_those_since_count(
        self, db: Connection, ada: User, settings: ServiceSettings
    ) -> None:
        """Also where no cost was known yet; late edits, and a second move."""
        self.start(db, ada, self.reference(db))
        early = chosen(db, ada, settings).toss
        assert early == Toss("both", TRIED, 0)
        self.start(db, ada, self.reference(db, adapter="one"))
        settle(db, tossed(ada, "both", trial=0), 9.0, now=NOW)
        assert coins.coin_of(db, ada.id) is None
        assert chosen(db, ada, settings).toss == Toss("both", TRIED, 1)
        self.start(db, ada, self.reference(db, adapter="other"))
        settle(db, tossed(ada, "both", trial=1), 9.0, now=NOW)
        settle(db, tossed(ada, "both", trial=2), 0.5, now=NOW)
        found = coins.coin_of(db, ada.id)
        assert found is not None
        assert (found.trial, found.test.count) == (2, 1)

    @pytest.mark.parametrize("adapter", [None, "house style"])
    def test_to_start_over_from_the_same_reference_leaves_the_coin(
        self, db: Connection, ada: User, adapter: str | None
    ) -> None:
        """What edits said of what was learned is forgotten with it."""
        reference = self.reference(db, adapter=adapter)
        self.start(db, ada, reference)
        self.known(db, ada)
        before = coins.coin_of(db, ada.id)
        self.start(db, ada, reference)
        assert coins.coin_of(db, ada.id) == before
        assert coins.evidence_of(db, ada.id).learned.count == 0

    def test_the_first_version_from_the_base_leaves_what_is_known_of_the_base(
        self, db: Connection, ada: User
    ) -> None:
        bob = add_user(db, "bob")
        self.known(db, ada, bob)
        before = coins.coin_of(db, ada.id)
        self.start(db, ada, self.reference(db))
        self.start(db, bob, self.reference(db, adapter="house style"))
        assert coins.coin_of(db, ada.id) == before
        assert coins.coin_of(db, bob.id) is None

    def test_another_base_is_known_to_nobody(
        self, db: Connection, ada: User, settings: ServiceSettings
    ) -> None:
        """Neither to who learned on the former one, nor to who only drafted with it."""
        bob = add_user(db, "bob")
        own, other = self.reference(db), self.reference(db, base="f1")
        record_base(db, name="f0", reference_id=own, reason="found", now=NOW)
        self.start(db, ada, own)
        self.known(db, ada, bob)
        before = coins.coin_of(db, bob.id)
        found = find_reference(db, own)
        assert found is not None
        switch_base(db, found, name="f0", actor="a", now=NOW)
        assert coins.coin_of(db, bob.id) == before
        found = find_reference(db, other)
        assert found is not None
        switch_base(db, found, name="f1", actor="a", now=NOW)
        for user in (ada, bob):
            assert coins.coin_of(db, user.id) is None
            assert coin_of(db, user, settings).trial > 1
            assert coins.evidence_of(db, user.id) == Evidence()


def recorded(db: Connection, draft: DraftRow, text: str, cost: float) -> None:
    judged = JudgedEdit(draft, 0, text, accepted=False, edit_cost=cost, reason=None)
    feedback.record_edit(db, judged, now=NOW)


def test_the_first_edit_of_a_draft_counts_and_no_further_one(db: Connection, ada: User) -> None:
    draft = tossed(ada, "both")
    drafts.add_draft(db, draft)
    recorded(db, draft, "One", 0.8)
    first = coins.coin_of(db, ada.id)
    assert first is not None
    assert first.test.count == 1
    recorded(db, draft, "Two", 0.1)
    recorded(db, draft, "Two", 0.1)
    assert coins.coin_of(db, ada.id) == first
    answers = drafts.answers_of(db, ada.id)
    assert [(one.arm, one.trial) for one in answers] == [("both", 0)]


def test_an_edit_of_a_plain_draft_leaves_the_coin_alone(db: Connection, ada: User) -> None:
    draft = draft_of(ada, arm="memory")
    drafts.add_draft(db, draft)
    edit(db, draft, "Hello")
    assert coins.coin_of(db, ada.id) is None


def test_an_arm_without_weights_is_drafted_by_the_reference_and_holds_nothing_back(
    ada: User,
) -> None:
    held_back = Serving(ada, None, held_back=True, blind=True)
    assert held_back.by("memory") == Serving(ada, None, arm="memory")
    still = held_back.by("both")
    assert (still.arm, still.held_back, still.blind) == ("memory", True, True)
    toss = Toss("both", TRIED, 0)
    assert Serving(ada, None).by(*toss[:1], toss) == replace(
        Serving(ada, None), arm="both", toss=toss, blind=True
    )
