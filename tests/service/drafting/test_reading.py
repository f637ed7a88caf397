"""Ids that the engine reads between two tokens of drafts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from asking import Listener, request

from corll.errors import InputError, PromptTooLongError
from corll.policy import Policy
from corll.service.drafting.engine import Engine
from corll.service.drafting.errands import Errands, Reading
from corll.service.drafting.requests import EngineBusyError, VersionFolder
from patience import PATIENCE_S

IDS = (5, 9, 2, 31, 17, 8, 9)


@pytest.fixture
def engine(policy: Policy) -> Iterator[Engine]:
    made = Engine(policy)
    yield made
    made.close()


def version_of(policy: Policy, folder: Path) -> VersionFolder:
    """An adapter that says something else than its base."""
    other = policy.with_adapter()
    with torch.no_grad():
        for number, parameter in enumerate(other.trainable_parameters().values()):
            torch.manual_seed(number)
            parameter.copy_(0.2 * torch.randn(parameter.shape))
    other.save(folder)
    other.unload()
    return VersionFolder(folder.name, folder)


def test_ids_are_read_by_the_version_that_is_named(
    engine: Engine, tiny_model_folder: Path, tmp_path: Path
) -> None:
    alone = Policy.load(tiny_model_folder, dtype="float32")
    version = version_of(alone, tmp_path / "version")
    for of, policy in ((None, alone), (version, alone.with_adapter(version.folder))):
        told = engine.read(IDS, of, 2).result(PATIENCE_S)
        assert [token.logprob is None for token in told] == [True] + [False] * 6
        total = sum(token.logprob for token in told if token.logprob is not None)
        assert total == pytest.approx(policy.score([IDS[:1]], [IDS[1:]]).item(), abs=1e-4)


def test_drafts_go_on_between_readings(engine: Engine) -> None:
    listener = Listener()
    engine.submit(request(max_new_tokens=30, stop=("\0never",)), listener)
    readings = [engine.read(IDS, None, 1) for _ in range(20)]
    assert listener.drawn.candidates
    assert len({reading.result(PATIENCE_S) for reading in readings}) == 1


def test_one_reading_at_a_time_and_other_errands_first() -> None:
    done: list[str] = []

    class Noted(Reading):
        def run(self, base: object, policy_of: object) -> None:
            done.append(f"reading {self.count}")

    class Other:
        def run(self, base: object, policy_of: object) -> None:
            done.append("other")

    errands = Errands()
    for number in range(3):
        errands.add(Noted(IDS, None, number))
    errands.add(Other())
    while len(errands):
        errands.run(None, None)  # type: ignore[arg-type]
    assert done == ["reading 0", "other", "reading 1", "reading 2"]
    for number in range(32):
        errands.add(Noted(IDS, None, number))
    with pytest.raises(EngineBusyError, match="Too many prompts wait to be read"):
        errands.add(Noted(IDS, None, 32))


def test_what_cannot_be_read_is_refused_at_once(engine: Engine) -> None:
    with pytest.raises(InputError, match="no token of this model"):
        engine.read((5, 10**6), None, 1)
    with pytest.raises(InputError, match="holds nothing"):
        engine.read((), None, 1)
    with pytest.raises(PromptTooLongError, match="prompt is too long"):
        engine.read((5,) * 513, None, 1)
