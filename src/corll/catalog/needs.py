"""What a model needs of a machine: memory to draft and to learn, and the seconds of a draft.

All of it is computed from the model's shape and from what was measured of the machine, before
anything is fetched or loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

from corll.catalog import memory
from corll.catalog.shapes import Shape

DRAFT_TOKENS, PROMPT_TOKENS = 150, 300
"""A letter, and what is asked of it."""
LONGEST_DRAFT_S = 20.0

_GB = 1e9


@dataclass(frozen=True)
class Machine:
    """A machine as it was measured. *Units*: bytes; bytes and operations a second.

    `memory` is what is free for models on the device, `system_memory` what the machine has free,
    `itemsize` the bytes of a weight in the dtype that would be used. `bandwidth` is how quickly
    weights pass through a product with one row, `flops` the speed of products with many. Weights of
    up to `copied_up_to` are kept once more for drafts, and once more for steps, in the order that
    products read: then the bandwidth is `copied_bandwidth`. Of `draft_copy` bytes is each weight of
    a copy in int8, where drafts are drawn by one.
    """

    device: str
    dtype: str
    itemsize: int
    memory: float
    system_memory: float
    bandwidth: float
    flops: float
    copied_up_to: float = 0.0
    copied_bandwidth: float = 0.0
    draft_copy: float = 0.0
    gpu: bool = False

    def __str__(self) -> str:
        copied = f", laid out {self.copied_bandwidth / _GB:.1f}" if self.copied_up_to else ""
        return (
            f"{self.device} in {self.dtype}: {self.memory / _GB:.1f} GB of memory are free, "
            f"weights pass at {self.bandwidth / _GB:.1f} GB/s{copied}, "
            f"{self.flops / _GB:.0f} GFLOP/s"
        )


@dataclass(frozen=True)
class Needs:
    """What one model needs on one machine. *Units*: bytes, seconds.

    `to_draft` is for a process that only drafts, `to_learn` for server and learner together, of
    which both have the weights once on a CPU, and each its own copies; `to_convert` is for the
    conversion of a GGUF file, once. All are upper bounds.
    """

    to_draft: float
    to_learn: float
    to_convert: float
    draft_s: float

    def __str__(self) -> str:
        return (
            f"memory to draft {self.to_draft / _GB:.1f} GB, to draft and learn "
            f"{self.to_learn / _GB:.1f} GB, a draft of {DRAFT_TOKENS} tokens {self.draft_s:.0f} s"
        )


def needs_of(shape: Shape, machine: Machine) -> Needs:
    """Return what a model needs on a machine.

    A draft reads the prompt in products with many rows, 2 operations a weight and token, and then
    all weights once for each new token:
    seconds = 300 · 2 · weights / flops + 150 · weights · itemsize / bandwidth.
    Seen on a Zen 5 in bfloat16 with one thread, beside other work: of 0.5B, 12 to 19 s by this at
    different moments and 17 to 21 s in fact; of 135M, 3 to 5 s and 6 s.
    """
    size, copied_up_to = machine.itemsize, machine.copied_up_to
    is_copied = shape.parameters * size <= copied_up_to
    bandwidth = machine.copied_bandwidth if is_copied else machine.bandwidth
    read = shape.read_each_token
    draft_s = PROMPT_TOKENS * 2 * read / machine.flops
    draft_s += DRAFT_TOKENS * read * size / bandwidth
    copies = {"copied_up_to": copied_up_to, "draft_copy": machine.draft_copy}
    return Needs(
        to_draft=memory.to_draft(shape, size, **copies),
        to_learn=memory.to_learn(shape, size, **copies, gpu=machine.gpu),
        to_convert=memory.to_convert(shape),
        draft_s=draft_s,
    )
