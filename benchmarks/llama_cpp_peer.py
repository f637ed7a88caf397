"""llama.cpp in a process of its own, since a build for another processor may end it by a signal."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import torch

from corll.cache import cache_folder
from corll.catalog.entries import get_model
from corll.catalog.here import file_here
from corll.config import EMBEDDED_MODEL


class LlamaCpp:
    """Draws from a file of quantised weights."""

    def __init__(self, gguf: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(gguf), str(torch.get_num_threads())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def generate(self, prompt: Sequence[int], count: int) -> bool:
        """Draws `count` tokens after a prompt; False where llama.cpp has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([list(prompt), count]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return False
        return self._process.stdout.readline() == f"{count}\n"

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def start(prompt: Sequence[int], gguf: Path | None = None) -> LlamaCpp | None:
    """llama.cpp, once it has drawn a token; None where it is not here or does not run, and why.

    Without a file it reads that of the embedded model.
    """
    gguf = gguf or file_here(get_model(EMBEDDED_MODEL))
    if gguf is None or find_spec("llama_cpp") is None:
        print("llama.cpp is not compared with: pip install llama-cpp-python", flush=True)
        return None
    peer = LlamaCpp(gguf)
    if not peer.generate(prompt, 1):
        print("llama.cpp is not compared with: it is installed, but does not run here", flush=True)
        peer.close()
        return None
    return peer


def in_eight_bits(gguf: Path) -> Path:
    """The same weights in Q8_0, requantised by llama.cpp and kept in the cache folder."""
    target = cache_folder() / "benchmarks" / f"{gguf.stem}-q8_0.gguf"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(".part")
        command = [sys.executable, __file__, "--requantize", str(gguf), str(unfinished)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        unfinished.replace(target)
    return target


def _requantize(source: str, target: str) -> None:
    llama = import_module("llama_cpp")
    params = llama.llama_model_quantize_default_params()
    params.allow_requantize, params.ftype = True, llama.LLAMA_FTYPE_MOSTLY_Q8_0
    if llama.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params)):
        raise SystemExit(f"llama.cpp did not requantise {source}")


def _serve(gguf: str, threads: int) -> None:
    llama = import_module("llama_cpp").Llama(
        gguf, n_ctx=512, n_threads=threads, seed=0, verbose=False
    )
    for line in sys.stdin:
        prompt, count = json.loads(line)
        llama.reset()  # else it would keep the prompt from the time before
        drawn = llama.generate(prompt, temp=1.0, top_k=50, top_p=1.0, min_p=0.0, repeat_penalty=1.0)
        print(len(list(islice(drawn, count))), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--requantize":
        _requantize(*sys.argv[2:])
    else:
        _serve(sys.argv[1], int(sys.argv[2]))
