"""Drafts that vLLM draws, by a double of it: ids go out, ids come back, no version is mixed up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from asking import PLAIN, PROMPTS, Listener, request
from vllm_double import ANSWERS, VllmDouble, vllm_double

from corll.errors import AdapterError, ConfigError
from corll.memory.exchanges import Exchange
from corll.policy import Policy
from corll.service.drafting.fairness import Owner
from corll.service.drafting.requests import EngineBusyError, VersionFolder
from corll.service.drafting.vllm import VllmEngine
from corll.service.drafting.vllm_sampler import VllmSampler
from corll.service.settings import ServiceSettings
from corll.service.upstream import UpstreamError
from patience import PATIENCE_S

VERSION = "ver_0123456789abcdefghijABCD"


@pytest.fixture
def alone(tiny_model_folder: Path) -> Policy:
    """The model that the double draws by."""
    return Policy.load(tiny_model_folder, dtype="float32")


@pytest.fixture
def double(alone: Policy) -> Iterator[VllmDouble]:
    with vllm_double(alone) as made:
        yield made


@pytest.fixture
def engine(policy: Policy, double: VllmDouble) -> Iterator[VllmEngine]:
    made = engine_at(policy, double.url)
    yield made
    made.close()


def engine_at(policy: Policy, *urls: str) -> VllmEngine:
    """An engine whose versions all may draft."""
    return VllmEngine(policy, urls, timeout=PATIENCE_S, still_draft=frozenset)


def version_of(double: VllmDouble, policy: Policy, folder: Path) -> VersionFolder:
    """A version with weights of its own, which the double knows too."""
    other = policy.with_adapter()
    for number, parameter in enumerate(other.trainable_parameters().values()):
        parameter.data.fill_(0.02 * (1 + number % 3))
    other.save(folder)
    double.versions[VERSION] = double.base.with_adapter(folder)
    return VersionFolder(VERSION, folder)


def test_the_base_drafts_in_ids_with_a_salt_for_each_user(
    engine: VllmEngine, double: VllmDouble, alone: Policy
) -> None:
    expected = alone.sample([PROMPTS[0]], 2, 12, 3, sampling=PLAIN)[0]
    for user in ("zoe", "ben", "zoe"):
        listener = Listener()
        asked = replace(request(PROMPTS[0], choices=2), owner=Owner("key", user))
        engine.submit(asked, listener)
        drawn = listener.drawn
        assert [one.token_ids for one in drawn.candidates] == [one.token_ids for one in expected]
        assert [listener.told(n) for n in range(2)] == [one.text for one in expected]
        assert all(one.logprob is None for one in drawn.candidates)
    bodies = double.asked
    assert bodies[0]["prompt"] == list(alone.codec.encode_prompt(PROMPTS[0]))
    assert bodies[0]["return_token_ids"] is True
    assert bodies[0]["model"] == "smollm2"
    zoe, ben, again = (body["cache_salt"] for body in bodies)
    assert zoe == again != ben
    assert "zoe" not in zoe


def test_a_version_drafts_under_its_id_and_several_are_ranked_here(
    engine: VllmEngine, double: VllmDouble, policy: Policy, alone: Policy, tmp_path: Path
) -> None:
    version = version_of(double, policy, tmp_path / "v")
    config = PLAIN.with_settings(num_candidates=3, selection="implicit_reward")
    listener = Listener()
    engine.submit(request(PROMPTS[0], version=version, config=config), listener)
    drawn = listener.drawn
    assert double.asked[0]["model"] == VERSION
    assert "cache_salt" not in double.asked[0]
    assert len(drawn.candidates) == 3
    assert drawn.scores is not None
    own = alone.with_adapter(tmp_path / "v")
    rewards = own.implicit_rewards([PROMPTS[0]] * 3, list(drawn.candidates), beta=config.beta)
    assert drawn.scores == pytest.approx(rewards.tolist(), abs=1e-4)


def test_the_bases_candidates_are_ranked_by_what_selection_asks(
    engine: VllmEngine, alone: Policy
) -> None:
    config = PLAIN.with_settings(num_candidates=3, selection="mean_logprob")
    listener = Listener()
    engine.submit(request(PROMPTS[0], config=config), listener)
    drawn = list(listener.drawn.candidates)
    sums = alone.logprobs([PROMPTS[0]] * 3, drawn).tolist()
    means = [total / len(one.token_ids) for total, one in zip(sums, drawn, strict=True)]
    assert listener.drawn.scores == pytest.approx(means, abs=1e-4)


def test_a_text_is_cut_at_a_stop_sequence_and_at_its_longest(
    engine: VllmEngine, double: VllmDouble
) -> None:
    double.texts[:] = ["Hello there, Anna. Bye", "one two three four five six seven eight nine ten"]
    listener = Listener()
    engine.submit(replace(request(PROMPTS[0]), stop=(" Anna",), max_new_tokens=60), listener)
    assert listener.drawn.cut == frozenset()
    assert listener.told(0) == "Hello there,"
    assert not listener.drawn.candidates[0].finished
    listener = Listener()
    engine.submit(replace(request(PROMPTS[0]), max_new_tokens=4), listener)
    assert listener.drawn.cut == {0}


def test_a_loop_is_thrown_away_and_drawn_anew(engine: VllmEngine, double: VllmDouble) -> None:
    double.texts[:] = ["I am here to help. " * 30, "Thank you for the letter."]
    listener = Listener()
    asked = replace(request(PROMPTS[0]), guarded=True, max_new_tokens=400, tells=False)
    engine.submit(asked, listener)
    assert listener.drawn.thrown_away == 1
    assert listener.drawn.text(0) == "Thank you for the letter."
    assert double.asked[0]["seed"] != double.asked[1]["seed"]


def test_log_probabilities_are_the_engine_s(engine: VllmEngine, double: VllmDouble) -> None:
    double.texts[:] = ["Hello"]
    listener = Listener()
    asked = replace(request(PROMPTS[0]), top_logprobs=2, max_new_tokens=20)
    engine.submit(asked, listener)
    told = listener.drawn.logprobs[0]
    assert "".join(one.token for one in told) == "Hello"
    assert {one.logprob for one in told} == {-0.5}
    assert told[0].top[0].logprob == -0.5


def test_a_version_is_unloaded_everywhere_once_its_drafts_are_done(
    policy: Policy, alone: Policy, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        doubles = [stack.enter_context(vllm_double(alone)) for _ in range(2)]
        engine = engine_at(policy, *(one.url for one in doubles))
        stack.callback(engine.close)
        version = version_of(doubles[0], policy, tmp_path / "v")
        doubles[1].versions[VERSION] = doubles[0].versions[VERSION]
        for one in doubles:
            one.may_answer.clear()
        listener = Listener()
        engine.submit(request(PROMPTS[0], version=version), listener)
        until = time.monotonic() + PATIENCE_S
        while not (doubles[0].asked or doubles[1].asked) and time.monotonic() < until:
            time.sleep(0.01)
        letting_go = threading.Thread(target=engine.let_go, args=([VERSION],))
        letting_go.start()
        letting_go.join(0.3)
        # While it drafts nobody unloads it.
        assert letting_go.is_alive()
        assert [one.unloaded for one in doubles] == [[], []]
        for one in doubles:
            one.may_answer.set()
        letting_go.join(PATIENCE_S)
        assert [one.unloaded for one in doubles] == [[VERSION], [VERSION]]
        assert isinstance(listener.failed, AdapterError)
        again = Listener()
        engine.submit(request(PROMPTS[0], version=version), again)
        assert isinstance(again.failed, AdapterError)
        assert sum(len(one.asked) for one in doubles) == 1
        # A second time none of them knows it: 404, as recorded, is no error.
        engine.let_go([VERSION])


def test_where_a_replica_is_away_another_draws(policy: Policy, double: VllmDouble) -> None:
    engine = engine_at(policy, "http://127.0.0.1:9/v1", double.url)
    try:
        for user in ("a", "b", "c", "d"):
            listener = Listener()
            engine.submit(replace(request(PROMPTS[0]), owner=Owner("key", user)), listener)
            assert listener.drawn.candidates
    finally:
        engine.close()
    away = engine_at(policy, "http://127.0.0.1:9/v1")
    listener = Listener()
    away.submit(request(PROMPTS[0]), listener)
    assert isinstance(listener.failed, UpstreamError)
    assert "--engine-url" in str(listener.failed)
    away.close()
    with pytest.raises(EngineBusyError):
        away.submit(request(PROMPTS[0]), listener)


def test_a_version_that_the_engine_lacks_is_said_so(
    engine: VllmEngine, double: VllmDouble, policy: Policy, tmp_path: Path
) -> None:
    version = version_of(double, policy, tmp_path / "v")
    double.versions.clear()
    listener = Listener()
    engine.submit(request(PROMPTS[0], version=version), listener)
    error = listener.failed
    assert isinstance(error, UpstreamError)
    assert (error.code, "corll-vllm" in str(error)) == ("engine_lacks_version", True)
    assert ANSWERS["unknown"]["body"]["error"]["message"] in str(error)


def test_an_engine_of_another_base_is_noticed(engine: VllmEngine, double: VllmDouble) -> None:
    engine.check_base()
    output = double.base.base.model.get_output_embeddings()
    output.weight.data.mul_(30)
    with pytest.raises(ConfigError, match="another base"):
        engine.check_base()


def test_a_policy_samples_by_vllm(double: VllmDouble, alone: Policy, policy: Policy) -> None:
    sampler = VllmSampler([double.url], alone.codec.end_ids, salt="a")
    rows = policy.sample(PROMPTS[:2], 2, 6, 5, sampling=PLAIN, sampler=sampler)
    expected = alone.sample(PROMPTS[:2], 2, 6, 5, sampling=PLAIN)
    ids = [[one.token_ids for one in row] for row in rows]
    assert ids == [[one.token_ids for one in row] for row in expected]
    assert rows[0][0].logprob is None
    assert {body["cache_salt"] for body in double.asked} == {"a"}


def test_letters_that_leak_are_left_out_of_the_next_draw(
    engine: VllmEngine, double: VllmDouble
) -> None:
    letter = Exchange("Ask Mr Miller", "Dear Mr Miller, call 0176 5550199. Anna", "exchange_1")
    double.texts[:] = ["Call 0176 5550199 soon.", "It comes on Friday."]
    listener = Listener()
    asked = request(guarded=True, memory=(letter,), max_new_tokens=60, tells=False)
    engine.submit(asked, listener)
    assert listener.drawn.memory == ()
    assert listener.drawn.text(0) == "It comes on Friday."
    assert len(double.asked[1]["prompt"]) < len(double.asked[0]["prompt"])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"engine": "vllm"}, "belong together"),
        ({"engine_url": ("http://127.0.0.1:8000/v1",)}, "belong together"),
        ({"engine": "vllm", "engine_url": ("127.0.0.1:8000",)}, "no address"),
        ({"engine": "vllm", "engine_url": ("http://a/v1/completions",)}, "no address"),
        (
            {
                "engine": "vllm",
                "engine_url": "http://a/v1,http://b/v1",
                "upstream": "http://c/v1",
                "upstream_model": "m",
            },
            "choose one",
        ),
    ],
)
def test_settings_that_name_no_engine_are_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ServiceSettings(**settings)
    good = ServiceSettings(engine="vllm", engine_url="http://a/v1,http://b/v1")
    assert good.engine_url == ("http://a/v1", "http://b/v1")
