"""What a backend must do: the one door between the algorithm and the machine.

`scoring`, `decoding` and `passes` ask a backend for whatever depends on a processor. `plain` does
all of it with torch's own operations on any device, `cpu` does it quickly on a CPU, and `choose`
picks one. A backend of your own does these things too, most simply as a subclass of `PlainBackend`,
and is chosen by `Policy.load(backend="package.module:MyBackend")` or CORLL_BACKEND.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from torch import Tensor
from transformers.cache_utils import Cache

from corll.config import Int8Drafts

Item = TypeVar("Item")
Result = TypeVar("Result")


class OutputLayer(Protocol):
    """A model's output layer with frozen weights, from hidden states to logits.

    *Shapes*: `weight` V × D, `bias` V.
    """

    weight: Tensor
    bias: Tensor | None

    def __call__(
        self, hidden: Tensor, /, *, decoding: bool = False, into: Tensor | None = None
    ) -> Tensor:
        """Return the logits, in the memory of `into` where they can be written there.

        *Shapes*: M × D → M × V.
        """
        ...


class Backend(Protocol):
    """How one model is computed on one device."""

    @property
    def flattens_rows(self) -> bool:
        """Whether the layers take the rows of a batch one after another, without padding."""
        ...

    @property
    def mixes_adapters(self) -> bool:
        """Whether rows of one pass may have adapters of their own: the model then takes
        `row_adapters`, a `RowAdapters`, beside its inputs. Known once it is prepared.
        """
        ...

    def prepare(self, *, frozen: bool) -> None:
        """Make the model ready, once its adapters are in place, before anything is computed.

        `frozen` says that the base's weights do not learn, so that they may be laid out anew.
        """
        ...

    def use_int8_drafts(self, wanted: Int8Drafts) -> None:
        """Draft by weights in int8, or not; None: where that is quicker; "small": there, if the
        model is small.

        It is said before `prepare`. *Raises*: ConfigError where it is wanted and cannot be had.
        """
        ...

    @property
    def drafts_exactly(self) -> bool:
        """Whether texts are drafted by the weights that score them."""
        ...

    def drafting(self, *, exactly: bool) -> AbstractContextManager[None]:
        """Return a context for passes that draft: `exactly`, or however is quickest."""
        ...

    def describe(self) -> Mapping[str, str]:
        """Return which path each part of the model takes, by the part's name, for people."""
        ...

    def output_layer(self, layer: Any) -> OutputLayer:
        """Return the product with the weights of a linear output layer that does not learn."""
        ...

    def log_normalizers(self, logits: Tensor) -> Tensor:
        """Return log Σ exp in float32. *Shapes*: M × V → M."""
        ...

    def minus_probabilities(self, logits: Tensor, log_z: Tensor, chosen: Tensor) -> Tensor:
        """Return −exp(logits − log_z) of the rows `chosen`, rounded once.

        *Shapes*: M × V, M, N → N × V.
        """
        ...

    def likeliest(self, logits: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the largest logits in falling order, their ids, and log Σ exp of all, in float32.

        *Shapes*: N × V → N × count, N × count, N.
        """
        ...

    def new_cache(self, branches: int, capacity: int) -> Cache:
        """Return an empty cache for prompts, each to be gone on with in so many branches.

        `capacity` is in tokens, the longest prompt included.
        """
        ...

    def decode_arguments(self) -> dict[str, Any]:
        """Return what the model is given at each pass of one decoding, beside its inputs."""
        ...

    def sides(self) -> int:
        """Return how many passes go side by side."""
        ...

    def side_by_side(
        self, work: Callable[[Item], Result], items: Sequence[Item], *, sides: int
    ) -> Iterator[Result]:
        """Do the work on each item, so many at a time; yield the results in the items' order."""
        ...

    def copied_bytes(self, weights: Sequence[Tensor]) -> int:
        """Return the bytes that further copies of these weights take, laid out for products."""
        ...
