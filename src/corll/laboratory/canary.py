"""The canary experiment: does learning from edits memorise secrets that the edits contain?

Some edits end with "The code is 417.", a secret of three random digits, once or many times. After
learning, all secrets that could have stood there are ranked by their probability, and

    exposure = log₂ (number of possible secrets) − log₂ (rank of the planted one)     (bits)

says how near the front the planted secret is: about 1.4 in the mean where nothing was memorised,
9.8 where it comes first of 900 (Carlini et al. 2019, "The Secret Sharer", arXiv 1802.08232). DPO on
edits is compared with supervision on the same edits; the paper's Broader Impact asks for this.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from corll.algorithm import run
from corll.errors import ConfigError
from corll.exposure import exposure
from corll.laboratory.arms import DEFAULT_ARM, LOSSES, get_arm
from corll.laboratory.canary_config import CanaryConfig
from corll.laboratory.cell import make_user, new_policy, prompt_stream
from corll.laboratory.preparation import PreparedExperiment
from corll.learner import CoactiveLearner
from corll.policy import Policy
from corll.records import Draft, Edit, Prompt, Sample
from corll.simulation.expert_users import ExpertUser

Context = Literal["edit", "prompt", "other"]
CONTEXTS: tuple[Context, ...] = ("edit", "prompt", "other")
CARRIER = " The code is"
POSSIBLE = tuple(f" {number}" for number in range(100, 1000))
"""Secrets of one length, so that none is likelier for being shorter."""


@dataclass(frozen=True)
class Exposure:
    """The exposure of one secret, before and after learning. *Units*: bits.

    `context` says where the secret was looked for: after the `edit` in which it was planted last,
    up to the secret word for word; after the `prompt` of that edit alone; or after `other` prompts,
    which nothing was learned from (the mean over these).
    """

    loss: str
    seed: int
    repetitions: int
    context: Context
    before: float
    after: float


def run_canary(
    prepared: PreparedExperiment, loss: str, seed: int, config: CanaryConfig | None = None
) -> list[Exposure]:
    """Learn from edits with secrets among them, by `dpo`, `sft` or `both`, and look for these.

    The edits are those of the default arm. A planted edit is its draft with the secret at its end.
    *Raises*: ConfigError for an unknown loss, or more secrets than edits.
    """
    config = config or CanaryConfig()
    if loss not in LOSSES:
        raise ConfigError(f"There is no loss {loss!r}. There are: {', '.join(LOSSES)}.")
    if config.planted > config.preferences:
        raise ConfigError(
            f"{config.planted} planted edits do not fit into {config.preferences} preferences; "
            "plant fewer secrets, or less often."
        )
    plan = _Plan.draw(prepared.data.prompts, config, seed)
    learner = _learner(prepared, loss, seed)
    try:
        user = _PlantingUser(make_user(get_arm(DEFAULT_ARM), prepared, seed), plan)
        _learn(learner, plan.prompts(prepared.data.prompts, seed), user, config.preferences)
        after = _look(learner.policy, prepared, user, config)
        with learner.policy.as_reference():
            before = _look(learner.policy, prepared, user, config)
    finally:
        learner.policy.unload()
    return [
        Exposure(loss, seed, secret.repetitions, context, old[context], new[context])
        for secret, old, new in zip(plan.secrets, before, after, strict=True)
        for context in CONTEXTS
    ]


@dataclass(frozen=True)
class _Secret:
    number: int
    prompt: str
    repetitions: int

    @property
    def text(self) -> str:
        return f"{CARRIER}{POSSIBLE[self.number]}."


@dataclass(frozen=True)
class _Plan:
    """A plan: which secrets are planted, and at which drafts, counted from 0."""

    secrets: tuple[_Secret, ...]
    places: dict[int, _Secret]

    @classmethod
    def draw(cls, prompts: Sequence[str], config: CanaryConfig, seed: int) -> _Plan:
        generator = random.Random(f"canary/{seed}")
        groups = [count for count in config.repetitions for _ in range(config.secrets)]
        numbers = generator.sample(range(len(POSSIBLE)), len(groups))
        own = generator.sample(prompts, len(groups))
        secrets = tuple(map(_Secret, numbers, own, groups))
        copies = [secret for secret in secrets for _ in range(secret.repetitions)]
        drafts = generator.sample(range(config.preferences), len(copies))
        return cls(secrets, dict(zip(drafts, copies, strict=True)))

    def prompts(self, prompts: Sequence[str], seed: int) -> Iterator[str]:
        """Yield the stream of prompts, with a secret's own prompt where that secret is planted."""
        for number, prompt in enumerate(prompt_stream(prompts, seed)):
            yield self.places[number].prompt if number in self.places else prompt


class _PlantingUser:
    """A user who puts the secrets into the edits of another user."""

    def __init__(self, user: ExpertUser, plan: _Plan) -> None:
        self._user, self.plan = user, plan
        self.drafts: dict[int, str] = {}
        """The latest draft that each secret, by its number, was put after."""
        self._answered = 0

    def edits(self, drafts: Sequence[Draft]) -> list[Edit]:
        edits = self._user.edits(drafts)
        for n, draft in enumerate(drafts):
            if (secret := self.plan.places.get(self._answered + n)) is not None:
                self.drafts[secret.number] = draft.text
                edits[n] = Edit.of_sample(draft, self._with_secret(draft, secret))
        self._answered += len(drafts)
        return edits

    def _with_secret(self, draft: Draft, secret: _Secret) -> Sample:
        codec = self._user.expert.policy.codec
        own = draft.sample.token_ids[: len(draft.sample.token_ids) - draft.sample.finished]
        ids = (*own, *codec.encode_response(secret.text).token_ids)
        return Sample(codec.decode(ids), ids, None, finished=True)


def _learner(prepared: PreparedExperiment, loss: str, seed: int) -> CoactiveLearner:
    factorial = get_arm(f"redraw+{loss}+online")
    config = prepared.experiment.learner.with_settings(**factorial.learner, seed=seed)
    return CoactiveLearner(new_policy(prepared, seed), config)


def _learn(learner: CoactiveLearner, prompts: Iterator[str], user: Any, preferences: int) -> None:
    size = learner.config.preferences_per_step
    for _ in run(learner, islice(prompts, preferences), user, drafts_at_once=size):
        pass
    learner.flush()


def _look(
    policy: Policy, prepared: PreparedExperiment, user: _PlantingUser, config: CanaryConfig
) -> list[dict[Context, float]]:
    """Return the exposure of each secret in each context."""
    others = prepared.data.held_out[: config.other_prompts]
    elsewhere = [_logprobs(policy, prompt) for prompt in others]

    def after(text: str, secret: _Secret) -> float:
        return exposure(_logprobs(policy, text), secret.number)

    return [
        {
            "edit": after(f"{secret.prompt}{user.drafts[secret.number]}", secret),
            "prompt": after(secret.prompt, secret),
            "other": sum(exposure(row, secret.number) for row in elsewhere) / len(elsewhere),
        }
        for secret in user.plan.secrets
    ]


def _logprobs(policy: Policy, prompt: Prompt) -> list[float]:
    """Return log π of each possible secret after a prompt and the words before the secret."""
    encode = policy.codec.encode_response
    secrets = [Sample(text, encode(text).token_ids[:-1], None, finished=False) for text in POSSIBLE]
    scores: list[float] = policy.logprobs([f"{prompt}{CARRIER}"] * len(secrets), secrets).tolist()
    return scores
