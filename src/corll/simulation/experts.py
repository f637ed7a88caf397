"""The expert π* of the simulations: trained by DPO, and stopped by measurement (paper, 4.1).

Its implicit reward R*(x, y) = β (log π*(y|x) − log π_0(y|x)) is what simulated users want, and what
the learner never sees. The distance of π* from π_0 decides what can be learned at all: a much
better expert makes every candidate better than every draft, so that no feedback ever errs and
nothing tells the arms apart. So training ends where samples of π*, scored by R* itself, show that
π* is far enough from π_0.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from torch import Tensor

from corll.config import CoactiveConfig, SamplingConfig
from corll.errors import InputError, TrainingError
from corll.losses import implicit_reward
from corll.policy import Policy
from corll.records import Preference, Prompt, Response, Sample
from corll.simulation.expert_config import ExpertConfig
from corll.step import PreferenceOptimizer


@dataclass(frozen=True)
class Measurement:
    """A measurement of how far an expert is from π_0. *Units*: R*; nats a response.

    `reward`, of the expert's own samples, is β·KL(π*‖π_0) up to the sampler's truncation, so at
    least 0 in the mean. `base_reward`, of π_0's samples, is at most 0 in the mean. `logps_chosen`
    and `logps_rejected` are those of the latest step: over-trained DPO lets both fall.
    """

    step: int
    reward: float
    base_reward: float
    wins: float
    logps_chosen: float
    logps_rejected: float

    def far_enough(self, config: ExpertConfig) -> bool:
        return self.reward >= config.least_reward and self.wins >= config.least_wins

    def too_far(self, config: ExpertConfig) -> bool:
        return (
            self.reward > config.most_reward
            or self.wins > config.most_wins
            or self.base_reward < config.least_base_reward
        )


class DrawnPairs(NamedTuple):
    """Samples of an expert and of π_0 for the same B prompts, with R*. *Shapes*: B each."""

    own: list[Sample]
    base: list[Sample]
    own_rewards: Tensor
    base_rewards: Tensor

    @property
    def reward(self) -> float:
        """The mean R* of the expert's samples."""
        return float(self.own_rewards.mean())

    @property
    def base_reward(self) -> float:
        """The mean R* of π_0's samples."""
        return float(self.base_rewards.mean())

    @property
    def wins(self) -> float:
        """The share of prompts where the expert's sample has the larger R*; a draw is half."""
        # Both drew the same text where the rewards are equal.
        draws = self.own_rewards == self.base_rewards
        return float(((self.own_rewards > self.base_rewards).float() + 0.5 * draws).mean())


class Expert:
    """The expert π*, on the same base and with the same π_0 as the policy that learns from it."""

    def __init__(self, policy: Policy, *, beta: float = 0.1) -> None:
        self.policy, self.beta = policy, beta

    def rewards(self, prompts: Sequence[Prompt], responses: Sequence[Response]) -> Tensor:
        """Return R*. *Shapes*: B prompts, B responses → B."""
        return self.policy.implicit_rewards(prompts, responses, beta=self.beta)

    def scores(
        self, prompts: Sequence[Prompt], responses: Sequence[Response]
    ) -> tuple[Tensor, Tensor]:
        """Return R* and log π_0. *Shapes*: B prompts, B responses → B, B."""
        expert, reference = self.policy.both_logprobs(prompts, responses)
        return implicit_reward(expert, reference, self.beta), reference


def train_expert(
    policy: Policy,
    pairs: Sequence[Preference],
    prompts: Sequence[Prompt],
    config: ExpertConfig,
    *,
    response_length: int,
    sampling: SamplingConfig,
    report: Callable[[Measurement], None] = lambda _: None,
) -> tuple[Expert, list[Measurement]]:
    """Train `policy` on preferences until it is an expert at the right distance from π_0.

    The expert is measured on `prompts`. *Raises*: TrainingError where it never gets far enough, or
    skips over the right distance; InputError where there is too little to learn from.
    """
    if len(pairs) < config.preferences_per_step or len(prompts) < 2:
        raise InputError(
            f"An expert needs at least {config.preferences_per_step} preferences and 2 prompts to "
            f"be measured on; there are {len(pairs)} and {len(prompts)}. Give more data."
        )
    optimizer = PreferenceOptimizer(policy, _learning(config))
    expert = Expert(policy, beta=config.beta)
    batches = _batches(pairs, config)
    measured: list[Measurement] = []
    for step in range(1, config.max_steps + 1):
        metrics = optimizer.step(next(batches)).metrics
        if step % config.measure_every:
            continue
        rewards = measure(
            expert, prompts, config, response_length=response_length, sampling=sampling
        )
        found = Measurement(step, *rewards, metrics["logps/chosen"], metrics["logps/rejected"])
        measured.append(found)
        report(found)
        if found.too_far(config):
            raise TrainingError(
                f"The expert went too far in {step} steps ({asdict(found)}). Lower its "
                "learning_rate or measure_every."
            )
        if found.far_enough(config):
            return expert, measured
    raise TrainingError(
        f"The expert did not get far enough from π_0 in {config.max_steps} steps "
        f"({asdict(measured[-1]) if measured else 'never measured'}). Raise its learning_rate or "
        "max_steps, or give preferences that tell more."
    )


def measure(
    expert: Expert,
    prompts: Sequence[Prompt],
    config: ExpertConfig,
    *,
    response_length: int,
    sampling: SamplingConfig,
) -> tuple[float, float, float]:
    """Return the mean R* of the expert's samples and of π_0's, and the share of wins.

    Only the first `config.measured_prompts` prompts are measured.
    """
    asked = prompts[: config.measured_prompts]
    drawn = draw_both(expert, asked, config, response_length=response_length, sampling=sampling)
    return drawn.reward, drawn.base_reward, drawn.wins


def draw_both(
    expert: Expert,
    prompts: Sequence[Prompt],
    config: ExpertConfig,
    *,
    response_length: int,
    sampling: SamplingConfig,
) -> DrawnPairs:
    """Draw a sample of the expert and one of π_0 for each prompt, from the same seed."""
    asked, seeds, policy = list(prompts), [config.seed] * len(prompts), expert.policy
    own = policy.sample(asked, 1, response_length, seeds, sampling=sampling)
    with policy.as_reference():
        base = policy.sample(asked, 1, response_length, seeds, sampling=sampling)
    rewards = expert.rewards(asked * 2, [row[0] for row in own + base])
    return DrawnPairs([row[0] for row in own], [row[0] for row in base], *rewards.chunk(2))


def pairs_by_score(
    prompts: Sequence[Prompt], samples: Sequence[Sequence[Sample]], scores: Tensor
) -> list[Preference]:
    """Prefer each prompt's best sample to its worst. *Shapes*: P rows of K samples; scores P × K.

    Prompts whose best and worst are one text are left out.
    """
    best, worst = scores.argmax(-1).tolist(), scores.argmin(-1).tolist()
    return [
        Preference(prompt, chosen=row[high], rejected=row[low])
        for prompt, row, high, low in zip(prompts, samples, best, worst, strict=True)
        if row[high].token_ids != row[low].token_ids
    ]


def _learning(config: ExpertConfig) -> CoactiveConfig:
    return CoactiveConfig.preset(
        "paper",
        beta=config.beta,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        preferences_per_step=config.preferences_per_step,
        seed=config.seed,
    )


def _batches(pairs: Sequence[Preference], config: ExpertConfig) -> Iterator[list[Preference]]:
    """Yield batches of the pairs, in a new order each time that all have been seen."""
    generator = random.Random(config.seed)
    size = config.preferences_per_step
    while True:
        order = generator.sample(range(len(pairs)), len(pairs))
        for start in range(0, len(order) - size + 1, size):
            yield [pairs[n] for n in order[start : start + size]]
