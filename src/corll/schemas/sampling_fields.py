"""Fields of a request that say how a draft is sampled, and what becomes of them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from corll.schemas.bodies import RequestBody

_MOST_BIASES = 1024
_NEUTRAL: dict[str, Any] = {
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "logit_bias": {},
}

TokenId = Annotated[int, Field(ge=0)]
Bias = Annotated[float, Field(ge=-100, le=100)]


class SamplingFields(RequestBody):
    """OpenAI's fields, and those that vLLM's API has beside them."""

    temperature: float | None = Field(
        None, ge=0, le=2, description="Of the draw; 0 takes the likeliest token."
    )
    top_p: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Draw from the likeliest tokens that hold this probability; 0 takes the "
        "likeliest.",
    )
    top_k: int | None = Field(
        None, ge=-1, description="Draw from so many of the likeliest tokens; 0 or -1 from all."
    )
    min_p: float | None = Field(
        None, ge=0, le=1, description="Leave out tokens of less than this share of the likeliest's."
    )
    frequency_penalty: float | None = Field(
        None, ge=-2, le=2, description="Taken off a token's logit as often as it was drawn already."
    )
    presence_penalty: float | None = Field(
        None, ge=-2, le=2, description="Taken off a token's logit once it was drawn."
    )
    repetition_penalty: float | None = Field(
        None,
        ge=0.01,
        le=10,
        description="Divides the logits of tokens that prompt or draft hold already; negative ones "
        "are multiplied. 1 changes nothing.",
    )
    logit_bias: dict[TokenId, Bias] | None = Field(
        None,
        max_length=_MOST_BIASES,
        description="Added to the logits of tokens, by the ids of the model that drafts.",
    )

    @property
    def adjustments(self) -> dict[str, Any]:
        """Return what makes some tokens likelier than the model has them, and others unlikelier."""
        said = {name: getattr(self, name) for name in _NEUTRAL}
        return {n: it for n, it in said.items() if it is not None and it != _NEUTRAL[n]}
