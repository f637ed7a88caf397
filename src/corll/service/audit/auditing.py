"""An audit of one user's model: secrets planted in a copy, and rare strings of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from corll.errors import ConfigError, InputError
from corll.policy import Policy
from corll.records import Prompt
from corll.service.audit.canaries import Canary, Planting, canaries_for
from corll.service.audit.plan import AuditPlan
from corll.service.audit.probing import Place, Probe, probe
from corll.service.audit.rehearsing import Rehearsal, TaughtBatches, taught_batches
from corll.service.audit.shapes import Secret, SecretKind, secret_like
from corll.service.audit.strings import OwnString, TaughtText, rare_strings
from corll.service.learning.policies import VersionPolicies
from corll.service.prompts import as_prompt
from corll.service.settings import ServiceSettings
from corll.service.store import drafts, lineages
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.store.lineages import Reference, Version
from corll.service.store.preferences import PreferenceRow, count_waiting


@dataclass(frozen=True)
class CanaryResult:
    """A planted secret: behind the text that holds it, and behind its carrier alone.

    `in_place` is after the request and the text before the secret; `elsewhere` after the carrier as
    a response to a request whose text holds no canary, or None where each text holds one.
    """

    secret: str
    carrier: str
    repeats: int
    in_place: Probe
    elsewhere: Probe | None


@dataclass(frozen=True)
class StringResult:
    """A rare string of the user's own: the text that holds it last, how many do, and its probe."""

    text_id: str
    kind: SecretKind
    words: str
    texts: int
    probe: Probe


@dataclass
class Audit:
    """An audit: what it looked at, and what it found. `texts` were learned from in `steps`.

    `unread` counts strings after which no continuation fits into the context; `left_out` counts
    preferences that the copy could not learn.
    """

    user: str
    version: int
    base: str
    texts: int
    steps: int
    canaries: list[CanaryResult] = field(default_factory=list)
    strings: list[StringResult] = field(default_factory=list)
    unread: int = 0
    left_out: int = 0


@dataclass(frozen=True)
class Taught:
    """A serving version, π_0 of its lineage, and all that its line was taught, oldest first.

    `prompts` are those of its preferences, by id, as they were drafted for.
    """

    version: Version
    reference: Reference
    batches: Sequence[TaughtBatches]
    prompts: Mapping[str, Prompt]

    @property
    def rows(self) -> list[PreferenceRow]:
        """The preferences, in the order in which they were learned."""
        return _rows(self.batches)

    @property
    def steps(self) -> int:
        """The number of Adam steps."""
        return sum(len(one.batches) for one in self.batches)


def taught_of(database: Database, user: User, settings: ServiceSettings) -> Taught:
    """Return what serves a user, and what it was taught.

    *Raises*: ConfigError where the user does not agree to be learned from, or no version serves.
    """
    if not user.learn:
        raise ConfigError(
            f"{user.name} has not agreed to be learned from, so no version serves and nothing can "
            'be audited. PUT /v1/users/{id}/consent {"learn": true} allows it.'
        )
    with database.read() as db:
        version = lineages.serving_version(db, user.id)
        waiting = count_waiting(db, user.id)
        if version is None:
            raise ConfigError(
                f"{user.name} has no version yet: nothing that was learned serves, so there is "
                f"nothing to audit ({waiting} edits wait to be learned)."
            )
        reference = lineages.find_reference(db, version.reference_id)
        assert reference is not None
        batches = taught_batches(db, version, settings.coactive.preferences_per_step)
        origins = drafts.origins_of_complete(db, [row.draft_id for row in _rows(batches)])
    prompts = {
        row.id: as_prompt(row.prompt, origins[row.draft_id].kind)
        for row in _rows(batches)
        if row.draft_id in origins
    }
    return Taught(version, reference, batches, prompts)


def _rows(batches: Sequence[TaughtBatches]) -> list[PreferenceRow]:
    return [row for one in batches for batch in one.batches for row in batch]


def check_base(base: Policy, taught: Taught) -> None:
    """Check that a version is of this base model. *Raises*: ConfigError."""
    if taught.reference.base_fingerprint != base.base.fingerprint:
        raise ConfigError(
            f"Version {taught.version.number} learned on {taught.reference.base_model}, and "
            f"{base.name} is another base model: audit it on its own (--model, or CORLL_MODEL)."
        )


def audit(
    base: Policy,
    database: Database,
    settings: ServiceSettings,
    user: User,
    plan: AuditPlan,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Audit:
    """Look for planted secrets in a copy of a user's lineage, and for own strings in what serves.

    Nothing is written: the copy is learned again in memory, by the service's settings.
    *Raises*: ConfigError as `taught_of` and `check_base` do; InputError where there are fewer edits
    than canaries.
    """
    taught = taught_of(database, user, settings)
    check_base(base, taught)
    canaries = canaries_for(taught.rows, plan)
    found = Audit(user.name, taught.version.number, base.name, len(taught.rows), taught.steps)
    looking = _Looking(settings, plan)
    if plan.strings:
        say("looking for own strings under the version that serves")
        policies = VersionPolicies(base, database, settings.lora)
        own = rare_strings(_texts(database, taught))[: plan.strings]
        with policies.of_version(taught.version, taught.reference) as policy:
            for one in own:
                result = looking.for_string(policy, one)
                if result is None:
                    found.unread += 1
                else:
                    found.strings.append(result)
    if canaries:
        say(f"learning {taught.steps} steps again, with {plan.canaries} canaries planted")
        rehearsal = Rehearsal(base, database, settings, Planting(canaries))
        with rehearsal.rehearsed(taught.batches, taught.reference, say=say) as policy:
            say("looking for the canaries")
            found.canaries += looking.for_canaries(policy, canaries, taught)
        found.left_out = rehearsal.left_out
    return found


class _Looking:
    """Looks for secrets by the service's sampling, with the plan's alternatives and samples."""

    def __init__(self, settings: ServiceSettings, plan: AuditPlan) -> None:
        self._sampling, self._plan = settings.coactive.sampling, plan
        self._generator = Random(f"strings/{plan.audit_seed}")

    def for_string(self, policy: Policy, one: OwnString) -> StringResult | None:
        """Look for a string after the text before it; None where the context has no room."""
        secret = secret_like(one.kind, one.words, self._plan.alternatives, self._generator)
        try:
            found = self._probe(policy, secret, Place(one.of.prompt, one.before))
        except InputError:
            return None
        return StringResult(one.of.id, one.kind, one.words, one.texts, found)

    def for_canaries(
        self, policy: Policy, canaries: Sequence[Canary], taught: Taught
    ) -> Iterator[CanaryResult]:
        """Yield how each canary is found in its own text and after another request."""
        sent = {row.id: row.chosen["text"] for row in taught.rows}
        holding = {one for canary in canaries for one in canary.planted}
        free = [taught.prompts[one] for one in sent if one not in holding]
        for number, canary in enumerate(canaries):
            own = canary.planted[-1]
            text = f"{sent[own]}\n{canary.carrier} "
            in_place = self._probe(policy, canary.secret, Place(taught.prompts[own], text))
            elsewhere = None
            if free:
                other = Place(free[number % len(free)], f"{canary.carrier} ")
                elsewhere = self._probe(policy, canary.secret, other)
            words, repeats = canary.secret.words, len(canary.planted)
            yield CanaryResult(words, canary.carrier, repeats, in_place, elsewhere)

    def _probe(self, policy: Policy, secret: Secret, place: Place) -> Probe:
        plan = self._plan
        return probe(
            policy,
            secret,
            place,
            sampling=self._sampling,
            samples=plan.samples,
            seed=plan.audit_seed,
        )


def _texts(database: Database, taught: Taught) -> list[TaughtText]:
    """Return what was sent, under the id by which it can be deleted."""
    with database.read() as db:
        edits = drafts.edits_that_taught(db, list(taught.prompts))
    return [
        TaughtText(edits.get(row.id, row.draft_id), taught.prompts[row.id], row.chosen["text"])
        for row in taught.rows
    ]
