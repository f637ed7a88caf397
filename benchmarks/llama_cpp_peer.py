"""llama.cpp in a process of its own, since a build for another processor may end it by a signal."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import torch

from corll.catalog.entries import get_model
from corll.catalog.here import file_here
from corll.config import EMBEDDED_MODEL


class LlamaCpp:
    """Draws from the file of 4-bit weights that the embedded model is converted from."""

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


def start(prompt: Sequence[int]) -> LlamaCpp | None:
    """llama.cpp, once it has drawn a token; None where it is not here or does not run, and why."""
    gguf = file_here(get_model(EMBEDDED_MODEL))
    if gguf is None or find_spec("llama_cpp") is None:
        print("llama.cpp is not compared with: pip install llama-cpp-python", flush=True)
        return None
    peer = LlamaCpp(gguf)
    if not peer.generate(prompt, 1):
        print("llama.cpp is not compared with: it is installed, but does not run here", flush=True)
        peer.close()
        return None
    return peer


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
    _serve(sys.argv[1], int(sys.argv[2]))
