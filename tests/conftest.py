"""Shared fixtures: tiny random models with tokenizers of their own, and no network."""

from __future__ import annotations

import json
import os
import shutil

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Threads that wait awake for one another take 15 times as long where another program has a core.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings

import corll
from corll.compute.cpu.kernels import compiled_kernels
from corll.errors import ConfigError
from corll.learner import CoactiveLearner
from corll.policy import Policy
from expected_skips import pytest_make_collect_report, pytest_runtest_makereport
from learners import QUICK
from tiny_models import build_gpt2, build_tokenizer, save_tiny_llama

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]  # pytest finds them here

# Processes that tests start see the sources that the tests see, whichever are installed.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(Path(corll.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
)

# Examples are the same in every run, and a busy machine is no failure.
settings.register_profile(
    "corll", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("corll")


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama that goes through a chat template."""
    return save_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def tiny_gpt2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random GPT-2, a base model that takes plain text."""
    tokenizer = build_tokenizer(chat=False)
    folder = tmp_path_factory.mktemp("gpt2")
    build_gpt2(len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def roomy_model_folder(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama with a context that has room for worked examples and past letters."""
    folder = tmp_path_factory.mktemp("roomy") / "model"
    shutil.copytree(tiny_model_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 16_384}))
    return folder


@pytest.fixture(params=["llama", "gpt2"])
def any_model_folder(request: pytest.FixtureRequest) -> Path:
    """Each architecture in turn."""
    name = {"llama": "tiny_model_folder", "gpt2": "tiny_gpt2_folder"}[request.param]
    folder: Path = request.getfixturevalue(name)
    return folder


@pytest.fixture
def policy(tiny_model_folder: Path) -> Policy:
    """A fresh policy on the tiny Llama, in float32."""
    return Policy.load(tiny_model_folder, dtype="float32")


@pytest.fixture
def any_policy(any_model_folder: Path) -> Policy:
    """A fresh policy on each architecture, in float32."""
    return Policy.load(any_model_folder, dtype="float32")


@pytest.fixture
def learner(policy: Policy) -> CoactiveLearner:
    """A learner of the fresh policy that steps on two preferences."""
    return CoactiveLearner(policy, QUICK)


KERNEL_MODES = ("off", "plain", "tiles")


@contextmanager
def _forced_kernels(mode: str) -> Iterator[None]:
    """Have what is computed meanwhile go by this mode of the compiled passes, or skip the test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CORLL_CPU_KERNELS", mode)
        compiled_kernels.cache_clear()
        try:
            compiled_kernels()
        except ConfigError as error:
            pytest.skip(str(error))
        else:
            yield
        finally:
            compiled_kernels.cache_clear()


@pytest.fixture(params=KERNEL_MODES)
def kernel_mode(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each mode of the compiled passes in turn, where this machine has it."""
    with _forced_kernels(request.param):
        yield request.param


@pytest.fixture(params=["float32", *(f"bfloat16-{mode}" for mode in KERNEL_MODES)])
def any_dtype(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each dtype in turn: float32, and bfloat16 in each mode of the compiled passes."""
    dtype, _, mode = request.param.partition("-")
    with _forced_kernels(mode) if mode else nullcontext():
        yield dtype


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else None
        if host not in (None, "127.0.0.1", "::1", "localhost"):
            raise OSError(f"tests have no network; something connects to {host}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # tiny models are quickest on one


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Passes may go side by side."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)
