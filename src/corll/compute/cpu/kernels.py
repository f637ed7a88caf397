"""Compiled passes over bf16 activations on a CPU, where a C compiler is at hand.

Between the products of a step stand norms, rotations, gates and softmaxes. As torch's operations
each is several passes over memory with a rounding in each; in `kernels.c` it is one pass in
float32, rounded once. The first lines of `kernels.c` say what each buys. The library is built at
its first use, in half a second, and kept in the cache folder. Without a compiler, on a GPU, or in
another dtype, torch's operations do the same work. `CORLL_CPU_KERNELS` forces one way: `off` takes
torch's operations, `plain` the compiled passes without a processor's tiles, `tiles` those with
them, and `auto`, the default, the quickest.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from corll.cache import cache_folder
from corll.compute.packing import Pieces, QueryBlock
from corll.errors import ConfigError

log = logging.getLogger(__name__)

_VARIABLE = "CORLL_CPU_KERNELS"
_MODES = ("auto", "off", "plain", "tiles")
_SOURCES = tuple(
    Path(__file__).with_name(f"{name}.c") for name in ("kernels", "tiles", "quantized")
)
_HEADER = Path(__file__).with_name("bf16.h")
_FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC")
_LONGEST_BUILD_S = 60
LANES = 16
"""A head's size, and a cache's capacity, must be a multiple of this to be attended to by token."""
FEWEST_PER_LIKELIEST = 64
"""Of so many logits one can be asked for."""
TILE_COLUMNS = 32
"""Of a product by tiles: its weight's rows and columns, and an adapter's rank, are multiples."""
INT8_COLUMNS, INT8_GROUP = 16, 64
"""Of a product in int8: its outputs are a multiple of the one, its inputs of the other, which share
a scale."""


def kernels_for(x: Tensor) -> CpuKernels | None:
    """Return the compiled passes, if they take such a tensor."""
    if x.dtype is not torch.bfloat16 or x.device.type != "cpu":
        return None
    return compiled_kernels()


@cache
def compiled_kernels() -> CpuKernels | None:
    """Return the library, built if need be; None where it cannot be built, said once in the log.

    *Raises*: ConfigError where `CORLL_CPU_KERNELS` names no mode, or one that cannot be had here.
    """
    mode = os.environ.get(_VARIABLE, "auto")
    if mode not in _MODES:
        raise ConfigError(f"{_VARIABLE} is {mode!r}; it is one of {', '.join(_MODES)}")
    if mode == "off":
        return None
    try:
        kernels = CpuKernels(ctypes.CDLL(str(build())), may_use_tiles=mode != "plain")
    except (OSError, subprocess.SubprocessError) as error:
        if mode != "auto":
            raise ConfigError(
                f"{_VARIABLE} is {mode!r}, but nothing can be built: {error}"
            ) from error
        log.info("No compiled kernels, torch's operations do their work: %s", error)
        return None
    if mode == "tiles" and not kernels.have_tiles:
        raise ConfigError(
            f"{_VARIABLE} is 'tiles', but this processor, compiler or system has no tiles (AMX); "
            "choose plain or auto"
        )
    return kernels


def build(processor: str = "native") -> Path:
    """Return where the library lies for a processor that the compiler names; built if need be.

    *Raises*: OSError, subprocess.SubprocessError.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None or sys.platform != "linux":
        raise FileNotFoundError("there is no C compiler" if compiler is None else sys.platform)
    flags = [*_FLAGS, f"-march={processor}"]
    if platform.machine() == "x86_64":
        flags.append("-mprefer-vector-width=512")
    sources = [source.read_text() for source in (*_SOURCES, _HEADER)]
    made_from = (*sources, compiler, *flags, platform.machine(), _processor_features())
    key = hashlib.sha256("\n".join(made_from).encode()).hexdigest()[:16]
    library = cache_folder() / f"cpu-kernels-{key}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
            objects = [str(Path(scratch, source.stem + ".o")) for source in _SOURCES]
            for source, compiled in zip(_SOURCES, objects, strict=True):
                _run(compiler, *flags, "-c", str(source), "-o", compiled)
            # Linked without -fopenmp, it takes the threads that torch has rather than its own.
            linked = Path(scratch, "kernels.so")
            _run(compiler, "-shared", *objects, "-o", str(linked), "-lm")
            linked.replace(library)
    return library


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_LONGEST_BUILD_S)
    except subprocess.CalledProcessError as error:
        raise OSError(error.stderr.decode(errors="replace").strip()) from error


def _processor_features() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


class CpuKernels:
    """The functions of the C files beside it on tensors: bf16, on a CPU, laid out in one piece.

    `have_tiles`: the processor has them (AMX), the system lets this process use them, and the mode
    allows it. `have_int8`: the processor multiplies bytes (x86 with AVX2).
    """

    def __init__(self, library: ctypes.CDLL, *, may_use_tiles: bool = True) -> None:
        self._library = library
        self.have_tiles = may_use_tiles and bool(library.tiles_allowed())
        self.have_int8 = bool(library.quantized_allowed())

    def tiled_product(
        self,
        x: Tensor,
        weight: Tensor,
        factors: tuple[Tensor, Tensor] | None,
        *,
        bias: Tensor | None = None,
        residual: Tensor | None = None,
        into: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return x Wᵀ + (x Aᵀ) Bᵀ + bias + residual, and x Aᵀ; summed in float32, rounded once.

        *Shapes*: `x` M × K; `weight` N × K, `factors` A R × K and B N × R, all in tiles as
        `tiled_products` lays them out; `bias` N; `residual`, and `into`, where the result goes if
        it is given, M × N → M × N, M × R.
        """
        A, B = factors or (None, None)
        rows, width, rank = *x.shape, 0 if A is None else len(A) * TILE_COLUMNS
        columns = len(weight) * TILE_COLUMNS
        low = x.new_empty(rows, rank)
        out = x.new_empty(rows, columns) if into is None else into
        tensors = (x, weight, A, B, bias, residual, low, out)
        self._call("tiled_product", *tensors, rows, width, rank, columns)
        return out, low

    def quantized(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return a weight in eight bits, and its scales in bf16, in the order of its product.

        *Shapes*: N × K, in bf16 or float32 → N · K, N · K / 64.
        """
        N, K = weight.shape
        rounded = weight.new_empty(N * K, dtype=torch.uint8)
        scales = weight.new_empty(N * K // INT8_GROUP, dtype=torch.bfloat16)
        tensors = (weight.contiguous(), rounded, scales)
        self._call("quantize_weight", *tensors, N, K, int(weight.dtype == torch.float32))
        return rounded, scales

    def quantized_product(
        self,
        x: Tensor,
        weight: Tensor,
        scales: Tensor,
        *,
        bias: Tensor | None = None,
        added: Tensor | None = None,
        into: Tensor | None = None,
    ) -> Tensor:
        """Return x Wᵀ + added + bias, both sides rounded to eight bits, summed in float32.

        *Shapes*: `x` M × K, in bf16 or float32, and of its dtype `bias` N, `added` and `into`,
        where the result goes if it is given, M × N; `weight` and `scales` as `quantized` gives
        them → M × N.
        """
        M, K = x.shape
        N, groups = len(weight) // K, K // INT8_GROUP
        out = x.new_empty(M, N) if into is None else into
        rounded = x.new_empty(M, K, dtype=torch.int8)
        of_x = (
            x.new_empty(M, groups, dtype=torch.float32),
            x.new_empty(M, groups, dtype=torch.int32),
        )
        tensors = (x, weight, scales, added, bias, out, rounded, *of_x)
        self._call("quantized_product", *tensors, M, K, N, int(x.dtype == torch.float32))
        return out

    def rms_norm(self, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        """Return x / rms(x) · weight. *Shapes*: M × D, D → M × D."""
        out = torch.empty_like(x)
        self._call("rms_norm", x, weight, out, *x.shape, epsilon)
        return out

    def rms_norm_backward(self, grad: Tensor, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        """Return the gradient by x. *Shapes*: M × D, M × D, D → M × D."""
        out = torch.empty_like(x)
        self._call("rms_norm_backward", grad, x, weight, out, *x.shape, epsilon)
        return out

    def swiglu(self, gate_up: Tensor) -> Tensor:
        """Return silu(gate) · up. *Shapes*: M × 2 I → M × I."""
        M, width = len(gate_up), gate_up.shape[1] // 2
        out = gate_up.new_empty(M, width)
        self._call("swiglu", gate_up, out, M, width)
        return out

    def swiglu_backward(self, grad: Tensor, gate_up: Tensor) -> Tensor:
        """Return the gradient by `gate_up`. *Shapes*: M × I, M × 2 I → M × 2 I."""
        out = torch.empty_like(gate_up)
        self._call("swiglu_backward", grad, gate_up, out, *grad.shape)
        return out

    def lay_out_heads(
        self,
        heads: Tensor,
        cos: Tensor,
        sin: Tensor,
        parts: Sequence[Tensor],
        pieces: tuple[Pieces, Pieces],
        scaling: float,
        *,
        back: bool = False,
    ) -> None:
        """Rotate queries and keys, and write all heads by block and row, or `back`.

        *Shapes*: `heads` M × (H + 2 G) × D; `cos`, `sin` M × D; `parts` the queries M · H · D by
        block, the first of `pieces`, times `scaling`; then keys and values M · G · D by row, the
        second.
        """
        M, every, D = heads.shape
        G = parts[1].numel() // (M * D)
        blocks, rows = pieces
        sizes = (M, every - 2 * G, G, D)
        places = (*blocks, *rows)
        self._call("lay_out_heads", heads, cos, sin, *parts, *sizes, *places, scaling, int(back))

    def masked_softmax_(self, scores: Tensor, block: QueryBlock) -> Tensor:
        """Compute softmax(scores + mask) in place. *Shapes*: H × Q × keys up to the block's end."""
        self._call(
            "masked_softmax", scores, block.mask, *scores.shape, block.masked_from, block.start
        )
        return scores

    def attend_token(
        self,
        heads: Tensor,
        angles: tuple[Tensor, Tensor],
        prompt: tuple[Tensor, Tensor, Tensor],
        drawn: tuple[Tensor, Tensor],
        before: int,
        mask: Tensor,
        scaling: float,
    ) -> Tensor:
        """Attend for one more token of each branch, whose key and value go into the cache.

        *Shapes*: `heads` N × (H + 2 G) × D, not rotated yet; `angles` cos and sin, N × D; `prompt`
        which of P each branch goes on (N, int64), its keys P × G × L / LANES × D / 2 × LANES × 2
        and its values P × G × L / 2 × D × 2, with zeros up to a multiple of LANES tokens; `drawn`
        the keys and values of each branch, N × G × ..., with room for more tokens than the
        `before` that are there; `mask` N × (L + before + 1), added to the scores → N × H × D.
        """
        N, every, D = heads.shape
        G, L = drawn[1].shape[1], mask.shape[-1] - before - 1
        out = heads.new_empty(N, every - 2 * G, D)
        tensors = (heads, *angles, *prompt, *drawn, mask, out)
        sizes = (*out.shape[:2], G, D, L, 2 * drawn[1].shape[2], before)
        self._call("attend_token", *tensors, *sizes, scaling)
        return out

    def add_low_rank_(self, out: Tensor, x: Tensor, factors: tuple[Tensor, Tensor]) -> Tensor:
        """Add x · the product of `factors` to `out`, for a few rows.

        *Shapes*: `out` M × columns, a multiple of LANES; `x` M × in; the factors in × R, of which
        the transpose lies in one piece, and R × columns as `in_pairs` gives it.
        """
        first, pairs = factors
        self._call("add_low_rank", x, first.t(), pairs, out, *x.shape, first.shape[1], out.shape[1])
        return out

    def log_normalizers(self, logits: Tensor) -> Tensor:
        """Return log Σ exp in float32. *Shapes*: M × V → M."""
        out = logits.new_empty(len(logits), dtype=torch.float32)
        self._call("log_normalizers", logits, out, *logits.shape)
        return out

    def likeliest(self, logits: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the largest logits in falling order, their ids, and log Σ exp of all.

        V must be at least `count` times FEWEST_PER_LIKELIEST. *Shapes*: N × V → N × count, float32,
        N × count, int64, N, float32.
        """
        N, V = logits.shape
        top = logits.new_empty(N, count, dtype=torch.float32)
        ids = logits.new_empty(N, count, dtype=torch.int64)
        log_z = logits.new_empty(N, dtype=torch.float32)
        self._call("likeliest", logits, top, ids, log_z, N, V, count)
        return top, ids, log_z

    def minus_probabilities(self, logits: Tensor, log_z: Tensor, chosen: Tensor) -> Tensor:
        """Return -exp(logits - log_z) of the chosen rows. *Shapes*: M × V, M, N (int64) → N × V."""
        out = logits.new_empty(len(chosen), logits.shape[1])
        self._call("minus_probabilities", logits, log_z, chosen, out, *out.shape)
        return out

    @staticmethod
    def in_pairs(rows: Tensor) -> Tensor:
        """Return neighbouring rows value by value, as products by pairs take them.

        *Shapes*: … × R × columns → … × ⌈R / 2⌉ × columns × 2, the last with zeros where R is odd.
        """
        padded = pad(rows, (0, 0, 0, rows.shape[-2] % 2))
        columns = rows.shape[-1]
        return padded.reshape(*rows.shape[:-2], -1, 2, columns).transpose(-2, -1).contiguous()

    def _call(self, name: str, *arguments: Any) -> None:
        passed = [_as_c(argument) for argument in arguments]
        getattr(self._library, name)(*passed, ctypes.c_int(torch.get_num_threads()))


def _as_c(value: Any) -> Any:
    if value is None:
        return ctypes.c_void_p()
    if isinstance(value, Tensor):
        assert value.is_contiguous()
        return ctypes.c_void_p(value.data_ptr())
    return ctypes.c_float(value) if isinstance(value, float) else ctypes.c_int64(value)
