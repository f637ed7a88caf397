"""The memory that a model takes, counted before it is loaded."""

from __future__ import annotations

from corll.catalog import entries
from corll.catalog.shapes import Shape
from corll.config import SMALL_MODEL_BYTES
from corll.errors import DeviceMemoryError

_GB = 1e9
PROCESS_BYTES = 4e8
"""What a process holds with torch and transformers before it loads a model (seen: 0.38 GiB)."""
WORK_BYTES = 2**30
"""Working memory of drafts, and of steps: the service's `memory_limit_gb`."""
_RANK = 8
_LEARNING_VALUES = 4
"""An adapter's weight, its gradient and Adam's two moments, in float32."""
_FLOAT32_BYTES = 4
_CONVERSION_BYTES = 6
"""For each weight, in float32 and for a while once more (seen: 5.7)."""


def to_draft(
    shape: Shape, itemsize: int, *, copied_up_to: float = 0.0, draft_copy: float = 0.0
) -> float:
    """Return the most bytes that a process takes which drafts with a model.

    `draft_copy` is what a weight takes in the copy in int8 that drafts are drawn by, if they are.
    """
    weights = shape.parameters * itemsize
    kept = weights * (2 if weights <= copied_up_to else 1) + shape.parameters * draft_copy
    return PROCESS_BYTES + WORK_BYTES + kept


def to_learn(
    shape: Shape,
    itemsize: int,
    *,
    copied_up_to: float = 0.0,
    draft_copy: float = 0.0,
    gpu: bool = False,
) -> float:
    """Return the most bytes that a server and its learner take together.

    Weights of up to `copied_up_to` the server keeps twice, and the learner three times, of which
    both have one in common on a CPU; the server has those in int8 besides, `draft_copy` bytes
    each, and so has the learner of a small model. On a GPU no file can stand for the weights.
    """
    weights = shape.parameters * itemsize
    copies = 3 if weights <= copied_up_to else 0
    in_int8 = shape.parameters * draft_copy * (2 if weights <= SMALL_MODEL_BYTES else 1)
    kept = weights * (copies + (2 if gpu else 1)) + in_int8
    adapter = _LEARNING_VALUES * _FLOAT32_BYTES * shape.adapter_parameters(_RANK)
    return kept + adapter + 2 * (PROCESS_BYTES + WORK_BYTES)


def to_convert(shape: Shape) -> float:
    """Return the bytes that a process takes which converts a GGUF file, once."""
    return bytes_to_convert(shape.parameters)


def bytes_to_convert(parameters: int) -> float:
    """Return the bytes that it takes to convert a GGUF file of so many weights, once."""
    return PROCESS_BYTES + _CONVERSION_BYTES * parameters


def check_memory(what: str, needed: float, free: float, *, itemsize: int = _FLOAT32_BYTES) -> None:
    """Check that what is going to be loaded fits. *Units*: bytes.

    *Raises*: DeviceMemoryError with the numbers, and the best smaller model that fits.
    """
    if needed <= free:
        return
    smaller = [
        model.name
        for model in entries.CATALOG
        if model.shape.parameters * itemsize < needed and to_draft(model.shape, itemsize) <= free
    ]
    advice = f"choose {smaller[0]}, which fits" if smaller else "no smaller model here fits"
    raise DeviceMemoryError(
        f"{what} needs {needed / _GB:.1f} GB of memory, and {free / _GB:.1f} GB are free: "
        f"{advice}, or make memory free."
    )
