"""Frozen, validated configurations; the command line's flags are generated from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from corll.configuring import Config, checked_together
from corll.errors import ConfigError

_DEFAULT_WARMUP = 4

EMBEDDED_MODEL = "smollm2-135m"
"""The small instruction model that needs no hub, for trying the loop."""

AUTO = "auto"
"""The name for: the model of the catalogue that suits this machine."""

SMALL_MODEL_BYTES = 2 * 2**30
"""Weights of up to so many bytes may be kept several times, in the orders that products read."""

Selection = Literal["implicit_reward", "logprob", "mean_logprob", "first"]
DraftSource = Literal["policy", "reference"]
SftTokens = Literal["all", "changed"]
DistilTexts = Literal["sampled", "draft", "edit", "both"]
DistilTeacher = Literal["policy", "reference"]
Schedule = Literal["constant", "inverse_sqrt"]
PresetName = Literal["default", "paper"]
EditorName = Literal["letter", "tone", "concise"]
Int8Drafts = bool | Literal["small"] | None
DType = Literal["float32", "bfloat16", "float16"]

LOSS_TYPES = {"sigmoid": True, "robust": True, "hinge": False, "ipo": False, "changed": True}
"""The preference losses by name, and whether they take label smoothing.

`corll.losses.register` adds to it; it stands here so that a configuration is checked without torch.
"""

LEARNERS = {
    "coactive": "preference loss, supervision on the edit and the shortfall, each by its weight",
    "dpo": "the preference loss of whole texts alone",
    "sft": "supervision on the whole edit alone",
    "distil": "what the policy says with a memory in its prompt, taught to it without",
}
"""The learners by name, and what each learns by.

`corll.learners.register` adds to it; it stands here so that a configuration is checked without
torch.
"""


class LoraConfig(Config):
    """The adapter that learns (Hu et al. 2022). Names are PEFT's, with its `lora_` prefix."""

    lora_r: int = Field(8, ge=1, description="Rank of the update.")
    lora_alpha: float = Field(
        16.0,
        gt=0,
        allow_inf_nan=False,
        description="Scale: the update is multiplied by alpha / r.",
    )
    lora_dropout: float = Field(
        0.0, ge=0, lt=1, description="Dropout on the adapter's input while learning."
    )
    lora_target_modules: str | tuple[str, ...] = Field(
        "all-linear", description="Names of the layers to adapt; all linear layers by default."
    )
    lora_seed: int = Field(0, ge=0, description="Seed of the adapter's random start.")


class SamplingConfig(Config):
    """The sampling of responses (paper, 4.1: temperature 1, the 50 likeliest tokens)."""

    temperature: float = Field(1.0, gt=0, description="Divides the logits before sampling.")
    top_k: int = Field(50, ge=0, description="Sample among the k likeliest tokens; 0 means all.")
    top_p: float = Field(
        1.0, gt=0, le=1, description="Sample among the likeliest tokens of this total probability."
    )


class AdjustedSampling(SamplingConfig):
    """The sampling of responses of which some tokens are made likelier, and others unlikelier.

    In the order of `transformers`: `logit_bias` and the penalties change logits, then come
    temperature, `top_k`, `top_p` and `min_p`. `presence_penalty` and `frequency_penalty` are
    OpenAI's: they count what was drawn, and not the prompt.
    """

    min_p: float = Field(
        0.0, ge=0, le=1, description="Leave out tokens of less than this share of the likeliest's."
    )
    repetition_penalty: float = Field(
        1.0,
        gt=0,
        le=10,
        description="Divides the logits of tokens that prompt or response hold already; negative "
        "ones are multiplied.",
    )
    presence_penalty: float = Field(
        0.0, ge=-2, le=2, description="Taken off the logits of tokens that were drawn already."
    )
    frequency_penalty: float = Field(
        0.0, ge=-2, le=2, description="Taken off as often as a token was drawn already."
    )
    logit_bias: dict[Annotated[int, Field(ge=0)], Annotated[float, Field(ge=-100, le=100)]] = Field(
        {}, description="Added to the logits of tokens, by their ids."
    )

    @property
    def changes_logits(self) -> bool:
        """Whether logits are changed before one is drawn from them."""
        penalties = (self.presence_penalty, self.frequency_penalty, self.repetition_penalty - 1)
        return bool(self.logit_bias) or any(penalties)


class CoactiveConfig(SamplingConfig):
    """The settings of Algorithm 1: how drafts are made, and how preferences are learned from.

    The defaults were chosen by experiment, for one person's style on a small model
    (experiments/LOG.md); `preset("paper")` is the paper's setting.
    """

    temperature: float = Field(0.7, gt=0, description="Divides the logits before sampling.")
    num_candidates: int = Field(
        1, ge=1, description="k: samples drawn for a draft; the best by `selection` is shown."
    )
    selection: Selection = Field(
        "implicit_reward",
        description="What the draft maximises (the paper uses three different quantities), or "
        "`first`, which ranks nothing.",
    )
    drafts_from: DraftSource = Field(
        "policy",
        description="Whose samples the drafts are: those of the policy that learns or, for "
        "learning offline, those of its reference.",
    )
    allow_unfinished: bool = Field(
        False,
        description="Whether a response that was cut at its longest may be shown where another "
        "ended, though its score is that of a beginning, not of a text.",
    )
    max_prompt_length: int | None = Field(
        None,
        ge=1,
        description="Longest prompt, in tokens; by default what the model's context allows.",
    )
    max_completion_length: int = Field(128, ge=1, description="Longest response, in tokens.")
    preferences_per_step: int = Field(2, ge=1, description="N: preferences in one Adam step.")
    replay_per_step: int = Field(
        6,
        ge=0,
        description="Past preferences, drawn at random, that each step learns from again.",
    )
    learner: str = Field(
        "coactive",
        description="What a step learns by: coactive, dpo, sft, distil, or one that was "
        "registered; the weights below are coactive's.",
    )
    learn_with_memory: bool = Field(
        False,
        description="Whether a step scores a preference with the exchanges before its prompt that "
        "its draft was drawn with, or without them.",
    )
    distil_texts: DistilTexts = Field(
        "sampled",
        description="Along which texts distil compares: one that the policy draws for it without "
        "the memory, the draft, the edit, or both of these.",
    )
    distil_teacher: DistilTeacher = Field(
        "policy",
        description="Who teaches in distil, with the memory: the policy as it stands before the "
        "step, which moves with what it learns, or its reference, which stays.",
    )
    beta: float = Field(
        0.1, gt=0, description="β: how strongly the policy is held to its reference."
    )
    loss_type: str = Field(
        "sigmoid",
        description="The preference loss: sigmoid, robust, hinge, ipo, changed (sigmoid of what "
        "the edit changed alone), or one that was registered.",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="Assumed share of preferences that point the wrong way (sigmoid, robust, "
        "changed).",
    )
    preference_weight: float = Field(
        1.0, ge=0, description="Weight of the preference loss; at 0 only supervision is left."
    )
    sft_weight: float = Field(
        1.0, ge=0, description="Weight of supervision on the edit: its mean token loss, in nats."
    )
    sft_tokens: SftTokens = Field(
        "changed",
        description="What is supervised: the whole edit, or the tokens where it leaves the draft.",
    )
    keep_weight: float = Field(
        50.0,
        ge=0,
        description="Weight of not letting the edit's tokens, and those it left of the draft, "
        "become unlikelier than under the reference: half their mean squared fall, in nats.",
    )
    learning_rate: float = Field(4e-4, gt=0, description="Adam's learning rate, after the warm-up.")
    lr_scheduler_type: Schedule = Field(
        "constant",
        description="After the warm-up: `constant`, or falling as 1/√step, which settles a learner "
        "whose edits have no planned end.",
    )
    warmup_steps: int | None = Field(
        None,
        ge=0,
        description="Steps over which the learning rate rises from 0, which are also the time "
        "scale of `inverse_sqrt`; by default 4.",
    )
    warmup_ratio: float = Field(
        0.0, ge=0, le=1, description="Warm-up as a share of `total_steps`; needs that total."
    )
    total_steps: int | None = Field(
        None, ge=1, description="Steps that are planned; only `warmup_ratio` needs it."
    )
    adam_beta1: float = Field(0.9, ge=0, lt=1, description="Decay of Adam's first moment.")
    adam_beta2: float = Field(0.999, ge=0, lt=1, description="Decay of Adam's second moment.")
    max_grad_norm: float = Field(1.0, gt=0, description="The gradient is clipped to this norm.")
    memory_limit_gb: float = Field(
        4.0,
        gt=0,
        description="Working memory of drafts and steps, beside the weights; sizes their batches.",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Every random stream is derived from it.")

    @checked_together
    def _consistent(self) -> Self:
        if self.warmup_ratio and self.warmup_steps:
            raise ValueError("give warmup_steps or warmup_ratio, not both")
        if self.warmup_ratio and self.total_steps is None:
            raise ValueError("warmup_ratio is a share of total_steps: give total_steps too")
        if self.loss_type not in LOSS_TYPES:
            known = ", ".join(LOSS_TYPES)
            raise ValueError(f"there is no loss_type {self.loss_type!r}; there are: {known}")
        if self.label_smoothing and not LOSS_TYPES[self.loss_type]:
            raise ValueError(
                f"label_smoothing has no meaning for loss_type={self.loss_type!r}; "
                "use 'sigmoid' or 'robust', or set it to 0"
            )
        if self.learner not in LEARNERS:
            known = ", ".join(LEARNERS)
            raise ValueError(f"there is no learner {self.learner!r}; there are: {known}")
        if self.learner == "distil" and self.learn_with_memory:
            raise ValueError(
                "learner='distil' teaches the policy to do without a memory, so learn_with_memory "
                "contradicts it; leave one of them"
            )
        if self.learner == "coactive" and not (self.preference_weight or self.sft_weight):
            raise ValueError("with preference_weight and sft_weight both 0 nothing is learned")
        if self.loss_type == "robust" and not self.label_smoothing:
            raise ValueError("loss_type='robust' needs label_smoothing > 0, the assumed noise rate")
        return self

    @property
    def sampling(self) -> SamplingConfig:
        """The part that concerns sampling."""
        return SamplingConfig(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)

    def replay_seed(self, steps_taken: int) -> str:
        """Return by which seed the step after so many draws what it replays."""
        return f"{self.seed}/{steps_taken}"

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 1: linear warm-up, then the schedule."""
        falls = self.lr_scheduler_type == "inverse_sqrt"
        warmup = self.warmup_steps
        if warmup is None:
            by_ratio = round(self.warmup_ratio * (self.total_steps or 0))
            warmup = by_ratio or _DEFAULT_WARMUP
        if step < warmup:
            return self.learning_rate * step / warmup
        return self.learning_rate * (max(warmup, 1) / step) ** 0.5 if falls else self.learning_rate

    @classmethod
    def preset(cls, name: PresetName, **settings: Any) -> CoactiveConfig:
        """Return a named set of defaults, with some of them replaced.

        `default` was chosen by experiment for a person's style on a small model
        (experiments/LOG.md). `paper` is the paper's setting: plain DPO at β = 0.1, N = 64,
        learning rate 5e-7 and no supervised term (A.1).
        """
        if name not in PRESETS:
            raise ConfigError(f"No preset {name!r}; there are: {', '.join(PRESETS)}.")
        return cls(**{**PRESETS[name], **settings})


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        "num_candidates": 1,
        "allow_unfinished": True,
        "temperature": 1.0,
        "preferences_per_step": 64,
        "replay_per_step": 0,
        "beta": 0.1,
        "sft_weight": 0.0,
        "keep_weight": 0.0,
        "learning_rate": 5e-7,
        "warmup_steps": 0,
    },
}
