"""The sizes of each task: the paper's own, one for a laptop, one for a minute.

`paper` has the paper's models and hyper-parameters. A smaller size says in `deviations` what it
has to set otherwise.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from corll.config import EMBEDDED_MODEL, CoactiveConfig, LoraConfig
from corll.configuring import Config
from corll.errors import ConfigError
from corll.laboratory.tasks.task import Lengths
from corll.memory.choosing import MemorySettings
from corll.simulation.axes import FeedbackAxes, Strength
from corll.simulation.expert_config import ExpertConfig

TINY_MODEL = "tiny"
"""The name of the model that is pre-trained here."""


class MemoryConfig(Config):
    """The choice of texts that were sent in a cell and stand before a prompt, in some arms."""

    choice: Literal["last", "nearest"] = Field(
        "last", description="The last ones, or the nearest to the prompt; some arms say which."
    )
    most: int = Field(3, ge=1, description="How many texts there are, with last up to twice.")
    budget_tokens: int = Field(
        1024, ge=1, description="Most tokens of these texts, with their prompts."
    )

    @property
    def settings(self) -> MemorySettings:
        """Return them as the library takes them."""
        return MemorySettings(self.choice, self.most, self.budget_tokens)


class Experiment(Config):
    """A task at a size, resolved: all that its cells have in common."""

    task: str = Field(description="Name of the task.")
    size: str = Field(description="Name of the size.")
    model: str = Field(description="Base model of policy, reference and expert; `tiny`: ours.")
    expert_base: str | None = Field(
        None,
        description="Base model of the expert and of the π_0 that R* counts from, with the "
        "tokenizer of `model`; by default `model` itself. J is then E[R*] − β·KL(π̃‖π_0).",
    )
    dtype: Literal["float32", "bfloat16"] | None = Field(
        None, description="Precision of the base; by default what suits the device."
    )
    trains: Literal["adapter", "all"] = Field(
        "adapter", description="Whether adapters learn on one base, or whole copies of it."
    )
    source: Literal["hub", "offline"] = Field("hub", description="Where data comes from.")
    data: str | None = Field(None, description="A local file in place of the source.")
    lengths: Lengths = Field(description="Longest prompt and response, in tokens.")
    preferences: int = Field(ge=1, description="Preferences that each cell learns from.")
    evaluate_every: int = Field(ge=1, description="Preferences between two evaluations.")
    held_out: int = Field(ge=2, description="Held-out prompts of an evaluation.")
    evaluation_candidates: int = Field(
        ge=1, description="Samples of which `reward_argmax` takes the best, the same in every arm."
    )
    num_expert_samples: int = Field(ge=1, description="l: samples of the expert for an edit.")
    feedback: FeedbackAxes = Field(default_factory=FeedbackAxes, description="The default axes.")
    memory: MemoryConfig = Field(
        default_factory=MemoryConfig, description="The memory of the arms that have one."
    )
    learner: CoactiveConfig = Field(description="Algorithm 1, before an arm changes it.")
    lora: LoraConfig = Field(default_factory=LoraConfig, description="Adapters of the policies.")
    expert: ExpertConfig = Field(description="How the expert is trained.")
    expert_lora: LoraConfig = Field(default_factory=LoraConfig, description="The expert's adapter.")
    expert_model: str | None = Field(
        None, description="Model that writes the expert's pairs; by default the base."
    )
    expert_pairs: int = Field(ge=1, description="Preferences that the expert learns from, at most.")
    samples_per_pair: int = Field(
        4, ge=2, description="Samples of a prompt where pairs are the best ≻ the worst of them."
    )
    fluency_weight: float = Field(
        3.0, ge=0, description="IMDB: weight of log π_ref beside log Pr(positive)."
    )
    fluency_per_token: bool = Field(
        True, description="IMDB: whether log π_ref is a mean over tokens, or their sum."
    )
    deviations: tuple[str, ...] = Field((), description="What differs from the paper, and why.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        step = self.learner.preferences_per_step
        if self.evaluate_every % step or self.preferences % self.evaluate_every:
            raise ValueError(
                f"evaluate_every ({self.evaluate_every}) must be a multiple of "
                f"preferences_per_step ({step}), and divide preferences ({self.preferences})"
            )
        return self


def _memory(lengths: Lengths) -> MemoryConfig:
    """Return a memory with room for as many of the longest texts as `last` lets stand."""
    most = MemoryConfig().most
    longest = lengths.prompt + lengths.response + 2  # a text's beginning and its end
    return MemoryConfig(budget_tokens=(2 * most - 1) * longest)


_PAPER_LORA = LoraConfig(lora_r=8, lora_alpha=64, lora_dropout=0.1)
_MINIMAL = FeedbackAxes(strength=Strength.MINIMAL)
_NEAR = 0.05
"""How far the mean R* of an expert may be from the paper's."""
_CLIPPED = (
    "The paper names no clipping and no other base for the expert: gradients of policy and expert "
    "are clipped at norm 1, and both are made of one base."
)


def _paper_learner(k: int, lengths: Lengths, **settings: Any) -> CoactiveConfig:
    return CoactiveConfig.preset(
        "paper",
        num_candidates=k,
        max_completion_length=lengths.response,
        max_prompt_length=lengths.prompt,
        **settings,
    )


def _paper_large(
    task: str, model: str, lengths: Lengths, held_out: int, *, near: float
) -> Experiment:
    """Return the paper's size of TL;DR or HH-helpful (A.1 to A.3).

    `near` is the mean R* of the expert's samples in the paper.
    """
    preferences, expert_pairs = 12_800, 100_000
    return Experiment(
        task=task,
        size="paper",
        model=model,
        lengths=lengths,
        preferences=preferences,
        evaluate_every=1280,
        held_out=held_out,
        evaluation_candidates=1,
        num_expert_samples=5,
        feedback=_MINIMAL,
        memory=_memory(lengths),
        learner=_paper_learner(
            1, lengths, warmup_steps=None, warmup_ratio=0.1, total_steps=preferences // 64
        ),
        lora=_PAPER_LORA,
        expert=ExpertConfig(
            learning_rate=5e-7,
            warmup_steps=expert_pairs // 64 // 10,
            max_steps=2000,
            measure_every=50,
            least_reward=near - _NEAR,
            most_reward=near + _NEAR,
        ),
        expert_lora=_PAPER_LORA,
        expert_pairs=expert_pairs,
        deviations=(
            "The paper states neither the number of preferences nor of evaluations: 12,800 and "
            "every 1,280 are ours.",
            "The expert is stopped by measurement, where the mean R* of its samples is within "
            f"{_NEAR:g} of the paper's {near:g}, not after a number of steps. Its rate rises over "
            "the first tenth of one pass through its pairs.",
            _CLIPPED,
            "Rows with a longer response are left out where A.2 cuts it; the end token counts.",
        ),
    )


def _paper_imdb() -> Experiment:
    """Return the paper's size of IMDB (A.4): gpt2, whole copies, k = 9 and l = 25."""
    lengths = Lengths(prompt=64, response=64)
    return Experiment(
        task="imdb",
        size="paper",
        model="openai-community/gpt2",
        dtype="float32",
        trains="all",
        lengths=lengths,
        preferences=12_800,
        evaluate_every=1280,
        held_out=400,
        evaluation_candidates=9,
        num_expert_samples=25,
        memory=_memory(lengths),
        learner=_paper_learner(9, lengths, learning_rate=1e-5),
        expert=ExpertConfig(learning_rate=1e-5, max_steps=2000, measure_every=20),
        expert_model="openai-community/gpt2-large",
        expert_pairs=25_000,
        deviations=(
            "The paper states neither the number of preferences nor of held-out prompts for IMDB: "
            "12,800 and 400 are ours.",
            "log π_ref in the expert's score is a mean per token: summed, it drowns the sentiment.",
            "The expert learns from the best ≻ the worst of four samples, and is stopped by "
            "measurement.",
            _CLIPPED,
        ),
    )


_SMALLER = (
    "A small model, in bf16 where that is quick; LoRA of α = 16 without dropout, where the paper's "
    "is 64 with 0.1; a constant learning rate without warm-up.",
    "96 or 128 held-out prompts. An offline source in place of the paper's data, unless one is "
    "named; what the base and the sentiment classifier learned from holds the held-out texts too.",
    "One adapter a policy (LoRA) on one base, also for IMDB.",
    "The learning rate is chosen per arm on a seed of its own: the paper's is for other models.",
    _CLIPPED,
    "The expert is stopped by measurement, not after a number of steps: R* of its samples within "
    "the paper's means (IMDB: at least 0.3), at most 95 % of wins.",
)


def _mini(task: str) -> Experiment:
    """Return the size `mini`: SmolLM2-135M, hours on a laptop.

    IMDB's expert is one that was found worth learning from, and its cells have 32 steps.
    """
    own: dict[str, Any] = {
        "learning_rate": 1e-4,
        "preferences": 512,
        "expert": {"learning_rate": 1e-4, "measured_prompts": 96},
        "expert_pairs": 1024,
    }
    if task == "imdb":
        own = {
            "learning_rate": 3e-4,
            "preferences": 256,
            "preferences_per_step": 8,
            "expert": {"learning_rate": 3e-4, "measured_prompts": 96, "measure_every": 2},
            "expert_pairs": 512,
            "samples_per_pair": 8,
        }
    return _small(task, size="mini", model=EMBEDDED_MODEL, evaluate_every=64, held_out=96, **own)


def _tiny(task: str) -> Experiment:
    """Return the size `tiny`: a Llama that is pre-trained here, some minutes a cell."""
    return _small(
        task,
        size="tiny",
        model=TINY_MODEL,
        learning_rate=3e-4,
        preferences=1024,
        evaluate_every=256,
        held_out=128,
        # A model this small seldom makes an expert as asked, and this size is for a first look.
        expert={"learning_rate": 1e-3, "refuse": False},
        expert_pairs=2048,
    )


def _small(
    task: str,
    *,
    learning_rate: float,
    expert: dict[str, Any],
    preferences_per_step: int = 64,
    **settings: Any,
) -> Experiment:
    small = _SMALL_TASKS[task]
    return Experiment(
        task=task,
        expert=ExpertConfig(**{"measure_every": 1, **small.distance, **expert}),
        fluency_weight=0.1,
        source="offline",
        lengths=small.lengths,
        evaluation_candidates=3,
        num_expert_samples=5,
        feedback=small.feedback,
        memory=_memory(small.lengths),
        learner=_paper_learner(
            small.num_candidates,
            small.lengths,
            learning_rate=learning_rate,
            preferences_per_step=preferences_per_step,
        ),
        deviations=(*_SMALLER, small.deviation),
        **settings,
    )


class _SmallTask(NamedTuple):
    lengths: Lengths
    num_candidates: int
    feedback: FeedbackAxes
    distance: dict[str, float]
    deviation: str


_TEMPLATED = (
    "Prompts of 64 tokens, since the template takes half of 32, and responses of 32. The expert is "
    "stopped by how often it wins: trained on people's texts, not on its own samples, it learns "
    "what to avoid, and π_0's samples fall while its own hardly rise."
)
_BY_REWARD = {"least_reward": 0.3}
_BY_WINS = {"least_reward": -0.1, "least_wins": 0.75}
_SMALL_TASKS = {
    "imdb": _SmallTask(
        Lengths(prompt=32, response=32),
        3,
        FeedbackAxes(),
        _BY_REWARD,
        "32-token prompts and responses; k = 3 and l = 5 samples, not 9 and 25. In the expert's "
        "score log π_ref weighs 0.1, not 3: by 3 it orders the samples of a prompt by fluency, "
        "and correlates with their sentiment by 0.35 (SmolLM2-135M); by 0.3 a lower temperature "
        "of π_0 still has most of what the expert would teach. At mini a step has 8 preferences, "
        "so that there are 32 steps.",
    ),
    "tldr": _SmallTask(Lengths(prompt=64, response=32), 1, _MINIMAL, _BY_WINS, _TEMPLATED),
    "helpful": _SmallTask(Lengths(prompt=64, response=32), 1, _MINIMAL, _BY_WINS, _TEMPLATED),
}
SIZES = ("paper", "mini", "tiny")
TASK_NAMES = tuple(_SMALL_TASKS)


def get_experiment(task: str, size: str) -> Experiment:
    """Return a task at a size with its defaults. *Raises*: ConfigError, listing what there is."""
    if task not in TASK_NAMES:
        raise ConfigError(f"There is no task {task!r}. There are: {', '.join(TASK_NAMES)}.")
    if size == "paper":
        return _PAPER[task]
    if size in ("mini", "tiny"):
        return _mini(task) if size == "mini" else _tiny(task)
    raise ConfigError(f"There is no size {size!r}. There are: {', '.join(SIZES)}.")


_PAPER = {
    "imdb": _paper_imdb(),
    "tldr": _paper_large(
        "tldr", "meta-llama/Llama-2-7b-hf", Lengths(prompt=462, response=50), 400, near=0.444
    ),
    "helpful": _paper_large(
        "helpful", "meta-llama/Llama-2-13b-hf", Lengths(prompt=300, response=100), 320, near=0.158
    ),
}
