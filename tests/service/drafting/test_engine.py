"""The drafting engine on a tiny model: what it draws is what the policy alone would draw."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from asking import PLAIN, PROMPTS, Listener, request

from corll.config import CoactiveConfig, LoraConfig
from corll.draft import best_first, make_drafts
from corll.errors import AdapterError, InputError, PromptTooLongError
from corll.model.tokens import TokenCodec
from corll.policy import Policy
from corll.records import Prompt, Verbatim
from corll.service.drafting.adapters_in_memory import AdaptersInMemory
from corll.service.drafting.engine import Engine
from corll.service.drafting.requests import (
    DraftEvent,
    EngineBusyError,
    Failed,
    Progress,
    VersionFolder,
)
from patience import PATIENCE_S


@pytest.fixture
def engine(policy: Policy) -> Iterator[Engine]:
    made = Engine(policy)
    yield made
    made.close()


def saved_version(policy: Policy, folder: Path, *, seed: int) -> VersionFolder:
    """An adapter with weights of its own."""
    other = policy.with_adapter()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in other.trainable_parameters().values():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    other.save(folder)
    other.unload()
    return VersionFolder(folder.name, folder)


@contextmanager
def held(engine: Engine) -> Iterator[None]:
    """Let nothing be begun while the context lasts, so that all that is asked for waits."""
    release, holding = threading.Event(), threading.Event()

    def hold(_: DraftEvent) -> None:
        holding.set()
        release.wait(PATIENCE_S)  # the engine's own thread

    engine.submit(request(max_new_tokens=1), hold)
    assert holding.wait(PATIENCE_S)
    try:
        yield
    finally:
        release.set()


def candidates(count: int, **settings: object) -> CoactiveConfig:
    """The plain sampler, with so many candidates."""
    return PLAIN.with_settings(num_candidates=count, **settings)


def test_requests_at_once_get_what_the_policy_alone_draws(
    engine: Engine, tiny_model_folder: Path
) -> None:
    alone = Policy.load(tiny_model_folder, dtype="float32")
    listeners = [Listener() for _ in PROMPTS]
    for prompt, listener in zip(PROMPTS, listeners, strict=True):
        engine.submit(request(prompt, choices=2), listener)
    for prompt, listener in zip(PROMPTS, listeners, strict=True):
        (expected,) = alone.sample([prompt], 2, 12, 3)
        assert [s.token_ids for s in listener.drawn.candidates] == [s.token_ids for s in expected]
        assert [s.text for s in listener.drawn.candidates] == [s.text for s in expected]
        for choice in range(2):
            assert listener.told(choice) == expected[choice].text


def test_each_request_is_pinned_to_its_version(
    engine: Engine, policy: Policy, tiny_model_folder: Path, tmp_path: Path
) -> None:
    alone = Policy.load(tiny_model_folder, dtype="float32")
    versions = [saved_version(alone, tmp_path / f"v{n}", seed=n) for n in range(3)]
    expected = [
        alone.with_adapter(v.folder).sample([PROMPTS[0]], 1, 12, 3)[0][0].token_ids
        for v in versions
    ]
    assert len(set(expected)) == 3  # else the test could not tell them apart
    listeners = []
    for _ in range(2):
        for version in versions:
            listeners.append(Listener())
            engine.submit(request(version=version), listeners[-1])
    found = [listener.drawn.candidates[0].token_ids for listener in listeners]
    assert found == expected * 2


def test_a_version_that_is_let_go_of_draws_no_more(
    engine: Engine, policy: Policy, tmp_path: Path
) -> None:
    """Neither what it is drawing, nor what is asked for later; and others go on."""
    erased, other = (saved_version(policy, tmp_path / name, seed=1) for name in ("e", "o"))
    under_way, beside = Listener(), Listener()
    engine.submit(request(version=erased, max_new_tokens=400), under_way)
    engine.submit(request(version=other), beside)
    engine.let_go([erased.id])
    later = Listener()
    engine.submit(request(version=erased), later)
    for listener in (under_way, later):
        with pytest.raises(AdapterError, match="deleted; ask again"):
            listener.drawn  # noqa: B018
    assert beside.drawn.candidates
    assert len(engine._kept) == 0
    assert erased.id not in engine._adapters._loaded


def test_of_several_candidates_the_best_by_implicit_reward_is_shown(
    engine: Engine, tiny_model_folder: Path, tmp_path: Path
) -> None:
    alone = Policy.load(tiny_model_folder, dtype="float32")
    version = saved_version(alone, tmp_path / "v", seed=1)
    listener = Listener()
    engine.submit(request(version=version, config=candidates(4)), listener)
    drawn = listener.drawn
    policy = alone.with_adapter(version.folder)
    rewards = policy.implicit_rewards([PROMPTS[0]] * 4, drawn.candidates)
    assert drawn.scores == pytest.approx(rewards.tolist(), abs=1e-4)
    assert drawn.shown == tuple(best_first(drawn.candidates, drawn.scores)[:1])
    assert [e.total for e in listener.events if isinstance(e, Progress)] == [4] * len(
        [e for e in listener.events if isinstance(e, Progress)]
    )
    assert listener.told() == drawn.candidates[drawn.shown[0]].text


def test_no_more_candidates_are_drawn_than_shown_where_none_is_better() -> None:
    version = VersionFolder("v", Path("v"))
    assert request(config=candidates(4)).branches == 1
    assert request(version=version, config=candidates(4, selection="first")).branches == 1
    assert request(version=version, config=candidates(4)).branches == 4
    assert request(config=candidates(4, selection="logprob")).branches == 4


@pytest.mark.parametrize(
    ("settings", "of_the_base"),
    [
        ({"selection": "implicit_reward", "beta": 0.7}, False),
        ({"selection": "implicit_reward", "allow_unfinished": True}, False),
        ({"selection": "logprob"}, False),
        ({"selection": "logprob", "allow_unfinished": True}, True),
        ({"selection": "mean_logprob"}, True),
        ({"selection": "first"}, False),
    ],
)
def test_the_engine_shows_the_draft_that_the_library_shows(
    engine: Engine,
    tiny_model_folder: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    of_the_base: bool,
) -> None:
    alone = Policy.load(tiny_model_folder, dtype="float32")
    version = None if of_the_base else saved_version(alone, tmp_path / "v", seed=1)
    policy = alone if version is None else alone.with_adapter(version.folder)
    # A hot sampler, so that some candidates end and others are cut.
    config = candidates(4, **settings, temperature=4.0, top_k=0, max_completion_length=40)
    for seed in range(8):
        listener = Listener()
        asked = request(version=version, config=config, max_new_tokens=40, seed=seed)
        engine.submit(asked, listener)
        drawn = listener.drawn
        (draft,) = make_drafts(policy, PROMPTS[:1], config, seeds=[seed])
        assert drawn.candidates[drawn.shown[0]].token_ids == draft.sample.token_ids
        if drawn.scores is not None:
            assert drawn.scores == pytest.approx(draft.scores, abs=1e-3)


def test_a_prompt_longer_than_the_server_takes_is_refused(engine: Engine) -> None:
    length = engine.submit(request(PROMPTS[1]), Listener()).prompt_tokens
    enough, too_short = (PLAIN.with_settings(max_prompt_length=length - n) for n in (0, 1))
    listener = Listener()
    engine.submit(request(PROMPTS[1], config=enough), listener)
    assert listener.drawn
    with pytest.raises(PromptTooLongError, match="max_prompt_length"):
        engine.submit(request(PROMPTS[1], config=too_short), Listener())


def test_no_more_is_drawn_at_once_than_memory_has_room_for(policy: Policy) -> None:
    policy.memory_limit_gb = 1e-9  # one row always goes on
    engine, listeners, rows = Engine(policy), [Listener() for _ in PROMPTS], []

    def looking(listener: Listener) -> Callable[[DraftEvent], None]:
        def on_event(event: DraftEvent) -> None:
            rows.append(sum(session.branches for session in engine._sessions))
            listener(event)

        return on_event

    for prompt, listener in zip(PROMPTS, listeners, strict=True):
        engine.submit(request(prompt, max_new_tokens=30), looking(listener))
    assert all(listener.drawn for listener in listeners)
    assert max(rows) == 1
    engine.close()


def test_a_version_is_ranked_against_the_reference_of_its_lineage(
    engine: Engine, tiny_model_folder: Path, tmp_path: Path
) -> None:
    alone = Policy.load(tiny_model_folder, dtype="float32")
    reference, version = (saved_version(alone, tmp_path / f"v{n}", seed=n) for n in range(2))
    listener, start = Listener(), Listener()
    own = replace(version, reference=reference.folder)
    engine.submit(request(version=own, config=candidates(3)), listener)
    drawn = listener.drawn
    policy = alone.with_adapter(version.folder, reference=reference.folder)
    rewards = policy.implicit_rewards([PROMPTS[0]] * 3, drawn.candidates)
    assert drawn.scores == pytest.approx(rewards.tolist(), abs=1e-4)
    itself = replace(reference, reference=reference.folder)
    engine.submit(request(version=itself, config=candidates(3)), start)
    assert len(start.drawn.candidates) == 1  # all would have the same reward, 0
    expected = alone.with_adapter(reference.folder).sample([PROMPTS[0]], 1, 12, 3)[0][0]
    assert start.drawn.candidates[0].token_ids == expected.token_ids


def test_a_stop_sequence_ends_the_text_before_it(engine: Engine, policy: Policy) -> None:
    first = Listener()
    engine.submit(request(max_new_tokens=20), first)
    text = first.drawn.candidates[0].text
    stop = text[5:8]
    listener = Listener()
    engine.submit(request(max_new_tokens=20, stop=(stop,)), listener)
    sample = listener.drawn.candidates[0]
    assert sample.text == text[: text.find(stop)] == listener.told()
    assert listener.drawn.cut == frozenset()
    assert sample.text.startswith(policy.codec.decode(sample.token_ids[:-1]))


def test_a_stopped_candidate_has_ended_and_its_logprob_is_of_its_own_ids(
    engine: Engine, policy: Policy
) -> None:
    """The reference ranks by log π: what a stop sequence ended is not behind what ended itself."""
    config = candidates(6, selection="logprob", allow_unfinished=False)
    drawing = request(config=config, max_new_tokens=40)
    (plain,) = policy.sample([drawing.prompt], 6, 40, 3)
    stop = next(s.text.strip()[3:5] for s in plain if len(s.text.strip()) > 8)
    listener = Listener()
    engine.submit(replace(drawing, stop=(stop,)), listener)
    drawn = listener.drawn
    cut = [n for n, sample in enumerate(plain) if stop in sample.text]
    assert cut
    for n in cut:
        sample = drawn.candidates[n]
        assert sample.text == plain[n].text[: plain[n].text.find(stop)]
        assert sample.logprob == pytest.approx(
            float(policy.logprobs([drawing.prompt], [sample])), abs=1e-3
        )
    ended = [n for n in range(6) if n in cut or drawn.candidates[n].finished]
    assert drawn.scores is not None
    assert drawn.shown[0] == max(ended, key=lambda n: drawn.scores[n])


def test_what_alone_needs_more_memory_than_there_is_is_refused(policy: Policy) -> None:
    policy.memory_limit_gb = 1e-3
    engine = Engine(policy)
    with pytest.raises(InputError, match="draws 17 at a time"):
        engine.submit(request(config=candidates(30), choices=30, max_new_tokens=200), Listener())
    listener = Listener()
    engine.submit(request(max_new_tokens=200), listener)
    assert listener.drawn.candidates
    engine.close()


def test_blind_the_reference_draws_as_many_and_shows_the_first(engine: Engine) -> None:
    listener = Listener()
    engine.submit(request(config=candidates(3), blind=True), listener)
    assert len(listener.drawn.candidates) == 3
    assert listener.drawn.shown == (0,)
    assert [e.done for e in listener.events if isinstance(e, Progress)][-1] == 3


def test_a_version_says_the_reward_of_a_single_draft_where_asked(
    engine: Engine, policy: Policy, tmp_path: Path
) -> None:
    version = saved_version(policy, tmp_path / "v", seed=1)
    listener = Listener()
    engine.submit(request(version=version, scored=True), listener)
    (sample,), scores = listener.drawn.candidates, listener.drawn.scores
    other = policy.with_adapter(version.folder)
    expected = other.implicit_rewards([PROMPTS[0]], [sample], beta=PLAIN.beta)
    assert scores == pytest.approx(expected.tolist(), abs=1e-4)
    assert listener.told() == sample.text


def test_logprobs_are_those_of_the_tokens(engine: Engine) -> None:
    listener = Listener()
    engine.submit(request(top_logprobs=2), listener)
    sample, tokens = listener.drawn.candidates[0], listener.drawn.logprobs[0]
    assert len(tokens) == len(sample.token_ids)
    assert sum(token.logprob for token in tokens) == pytest.approx(sample.logprob, abs=1e-4)
    assert all(token.top[0].logprob >= token.top[1].logprob for token in tokens)


def test_an_end_token_is_in_no_text_and_so_in_no_logprobs(engine: Engine) -> None:
    listener = Listener()
    everything = PLAIN.with_settings(top_k=0)
    engine.submit(
        request(config=everything, choices=16, max_new_tokens=200, top_logprobs=0), listener
    )
    drawn = listener.drawn
    assert any(sample.finished for sample in drawn.candidates)
    for sample, logprobs in zip(drawn.candidates, drawn.logprobs, strict=True):
        assert len(logprobs) == len(sample.token_ids) - sample.finished


def test_a_cancelled_request_ends_with_what_was_drawn(engine: Engine) -> None:
    listener, other = Listener(), Listener()
    job = engine.submit(request(max_new_tokens=400, stop=("\0never",)), listener)
    engine.submit(request(max_new_tokens=30), other)
    assert listener.has_told.wait(PATIENCE_S)
    job.cancel()
    assert listener.drawn.cancelled
    assert len(listener.drawn.candidates[0].token_ids) < 400
    assert not other.drawn.cancelled


def test_a_full_queue_says_when_to_come_again(policy: Policy) -> None:
    engine = Engine(policy, max_waiting=1, max_branches=1)
    taken, refused = [], []
    for _ in range(4):
        listener = Listener()
        try:
            engine.submit(request(max_new_tokens=200), listener)
            taken.append(listener)
        except EngineBusyError as error:
            refused.append(error.retry_after)
    assert taken
    assert refused
    assert min(refused) >= 1
    engine.close()
    assert all(listener.drawn for listener in taken)  # a clean stop finishes them
    with pytest.raises(EngineBusyError):
        engine.submit(request(), Listener())


def test_those_who_wait_together_share_a_decoding(engine: Engine) -> None:
    together, late = [], [Listener() for _ in PROMPTS]

    def looking(listener: Listener) -> Callable[[DraftEvent], None]:
        def on_event(event: DraftEvent) -> None:
            together.append(max(len(session.jobs) for session in engine._sessions))
            listener(event)

        return on_event

    with held(engine):
        for prompt, listener in zip(PROMPTS, late, strict=True):
            engine.submit(request(prompt), looking(listener))
    assert all(listener.drawn for listener in late)
    assert max(together) == len(PROMPTS)


def test_a_prompt_over_the_context_is_refused_at_once(engine: Engine) -> None:
    with pytest.raises(PromptTooLongError):
        engine.submit(request(max_new_tokens=10_000), Listener())


def test_a_text_is_encoded_once_and_shortened_to_the_context_where_that_will_do(
    engine: Engine, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, encode = [], TokenCodec.encode_prompt

    def noted(codec: TokenCodec, prompt: Prompt, **limit: Any) -> tuple[int, ...]:
        encoded.append(prompt)
        return encode(codec, prompt, **limit)

    monkeypatch.setattr(TokenCodec, "encode_prompt", noted)
    listener, context = Listener(), policy.codec.context_length
    assert context is not None
    job = engine.submit(
        request(max_new_tokens=10_000, shortens=True, beginning="Dear Anna,"), listener
    )
    assert job.prompt_tokens + job.request.max_new_tokens == context
    job.cancel()
    assert listener.ended.wait(PATIENCE_S)
    assert encoded == [job.request.prompt]


def test_requests_that_fit_the_context_alone_are_not_drawn_in_one_that_does_not(
    engine: Engine, policy: Policy
) -> None:
    """The longest prompt and the longest response of two requests may not fit it together."""
    context = policy.codec.context_length
    assert context is not None
    hold, long_prompt, long_response = Listener(), Listener(), Listener()
    engine.submit(request(max_new_tokens=30), hold)
    engine.submit(request(max_new_tokens=5, beginning="kettle " * (context // 8)), long_prompt)
    job = engine.submit(request(max_new_tokens=context - 60, stop=("e",)), long_response)
    assert job.prompt_tokens < 60
    for listener in (hold, long_prompt, long_response):
        assert listener.drawn


def test_a_broken_version_fails_its_own_request_alone(engine: Engine, tmp_path: Path) -> None:
    broken, fine = Listener(), Listener()
    engine.submit(request(version=VersionFolder("gone", tmp_path / "gone")), broken)
    engine.submit(request(), fine)
    assert fine.drawn
    assert broken.ended.wait(PATIENCE_S)
    assert isinstance(broken.events[-1], Failed)


def test_a_plain_text_is_continued_without_the_template(engine: Engine, policy: Policy) -> None:
    templated, verbatim = (
        engine.submit(request(prompt), Listener()).prompt_tokens
        for prompt in ("Dear", Verbatim("Dear"))
    )
    assert verbatim == len(policy.tokenizer("Dear")["input_ids"]) < templated


class Looking(Listener):
    """A listener that notes which versions the decodings are of, whenever it is told something."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine, self.seen = engine, set[frozenset[str]]()

    def __call__(self, event: DraftEvent) -> None:
        self.seen |= {session.versions for session in self.engine._sessions}
        super().__call__(event)


def test_versions_that_wait_together_share_a_decoding_and_draw_what_each_would_alone(
    engine: Engine, tiny_model_folder: Path, tmp_path: Path
) -> None:
    alone = Policy.load(tiny_model_folder, dtype="float32")
    versions = [None, *(saved_version(alone, tmp_path / f"v{n}", seed=n) for n in range(3))]
    listeners = [Looking(engine) for _ in versions]
    with held(engine):
        for number, (version, listener) in enumerate(zip(versions, listeners, strict=True)):
            engine.submit(request(PROMPTS[number % 3], version=version, choices=2), listener)
    for number, (version, listener) in enumerate(zip(versions, listeners, strict=True)):
        policy = alone if version is None else alone.with_adapter(version.folder)
        (expected,) = policy.sample([PROMPTS[number % 3]], 2, 12, 3)
        assert [s.token_ids for s in listener.drawn.candidates] == [s.token_ids for s in expected]
    assert {"v0", "v1", "v2"} in listeners[0].seen


def test_candidates_of_versions_that_share_a_decoding_are_ranked_each_by_its_own(
    engine: Engine, tiny_model_folder: Path, tmp_path: Path
) -> None:
    alone = Policy.load(tiny_model_folder, dtype="float32")
    versions = [saved_version(alone, tmp_path / f"v{n}", seed=n) for n in range(2)]
    listeners = [Looking(engine) for _ in versions]
    with held(engine):
        for version, listener in zip(versions, listeners, strict=True):
            engine.submit(request(version=version, config=candidates(3)), listener)
    for version, listener in zip(versions, listeners, strict=True):
        drawn, policy = listener.drawn, alone.with_adapter(version.folder)
        rewards = policy.implicit_rewards([PROMPTS[0]] * 3, drawn.candidates)
        assert drawn.scores == pytest.approx(rewards.tolist(), abs=1e-4)
    assert {"v0", "v1"} in listeners[0].seen


def test_of_versions_in_one_decoding_one_is_let_go_of_and_the_other_goes_on(
    engine: Engine, tiny_model_folder: Path, tmp_path: Path
) -> None:
    alone = Policy.load(tiny_model_folder, dtype="float32")
    erased, other = (saved_version(alone, tmp_path / name, seed=n) for n, name in enumerate("eo"))
    going, beside = Looking(engine), Looking(engine)
    with held(engine):
        long: dict[str, Any] = {"max_new_tokens": 300, "config": PLAIN.with_settings(top_k=0)}
        engine.submit(request(version=erased, **long), going)
        engine.submit(request(version=other, **long), beside)
    assert going.has_told.wait(PATIENCE_S)
    engine.let_go([erased.id])
    with pytest.raises(AdapterError, match="deleted; ask again"):
        going.drawn  # noqa: B018
    policy = alone.with_adapter(other.folder)
    (expected,) = policy.sample([PROMPTS[0]], 1, 300, 3, sampling=long["config"].sampling)
    assert beside.drawn.candidates[0].token_ids == expected[0].token_ids
    assert {"e", "o"} in beside.seen
    assert erased.id not in engine._adapters._loaded


def test_of_versions_that_wait_together_a_broken_one_fails_alone(
    engine: Engine, policy: Policy, tmp_path: Path
) -> None:
    broken, fine = Listener(), Listener()
    version = saved_version(policy, tmp_path / "fine", seed=1)
    with held(engine):
        engine.submit(request(version=VersionFolder("gone", tmp_path / "gone")), broken)
        engine.submit(request(version=version), fine)
    assert fine.drawn
    with pytest.raises(AdapterError):
        broken.drawn  # noqa: B018


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_where_adapters_cannot_share_a_pass_each_version_has_decodings_of_its_own(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    """Here one is on the output layer, which no fused layer computes."""
    lora = LoraConfig(lora_target_modules=("q_proj", "lm_head"))
    base, alone = (Policy.load(tiny_model_folder, dtype="float32", lora=lora) for _ in range(2))
    engine = Engine(base)
    versions = [saved_version(alone, tmp_path / f"v{n}", seed=n) for n in range(2)]
    listeners = [Looking(engine) for _ in versions]
    with held(engine):
        for version, listener in zip(versions, listeners, strict=True):
            engine.submit(request(version=version), listener)
    for version, listener in zip(versions, listeners, strict=True):
        (expected,) = alone.with_adapter(version.folder).sample([PROMPTS[0]], 1, 12, 3)
        assert listener.drawn.candidates[0].token_ids == expected[0].token_ids
    seen = set().union(*(listener.seen for listener in listeners))
    assert {"v0"} in seen
    assert {"v0", "v1"} not in seen
    engine.close()


def test_adapters_in_memory_are_bounded_and_those_in_use_stay(
    policy: Policy, tmp_path: Path
) -> None:
    versions = [saved_version(policy, tmp_path / f"v{n}", seed=n) for n in range(3)]
    adapters = AdaptersInMemory(policy, 2)
    first = adapters.get(versions[0], set())
    adapters.get(versions[1], {"v0"})
    adapters.get(versions[2], {"v0"})
    assert len(adapters) == 2
    assert adapters.get(versions[0], set()) is first
