"""What the rules ask of a policy: how it finds a sent text, whether it refuses, a few drafts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from corll.compute.decoding import TOKENS_A_TURN
from corll.compute.scoring import logprobs_beside
from corll.config import SamplingConfig
from corll.errors import InputError
from corll.guards import first_loop
from corll.memory.exchanges import Exchange
from corll.policy import Policy
from corll.records import Prompt, Sample
from corll.verdicts.arms import Arm
from corll.verdicts.evidence import EditScores
from corll.verdicts.flaws import Drawn
from corll.verdicts.refusals import COMPLYING, REFUSING, REQUESTS
from corll.verdicts.surprisal import inserted_surprisal
from corll.verdicts.survival import Closing, body_end, log_survival
from corll.verdicts.tokens import origins

DRAWN_TOKENS = 64
"""The length of a draft that is drawn to look at: a loop of up to 21 tokens shows in it."""


class Asked(NamedTuple):
    """What is asked for to look at a draft: a prompt, and the memory that stands before it."""

    prompt: Prompt
    memory: tuple[Exchange, ...] = ()


class _Places(NamedTuple):
    """What the rules look at in a sent text. *Shapes*: T marks each."""

    inserted: Sequence[bool]
    body: Sequence[bool]
    opens: Sequence[bool]


def edit_scores(
    policy: Policy,
    prompt: Prompt,
    draft: Sample,
    sent: Sample,
    *,
    memory: Sequence[Exchange] = (),
    closings: Sequence[Closing] = (),
) -> dict[Arm, EditScores]:
    """Return what an edit says of each arm, before it is learned from.

    *Base* is π_0. The arms with memory are there where there is any that the context holds. Arms of
    the same weights share a pass. `sent` has the ids of `TokenCodec.encode_edit`; `closings` are
    the user's (`usual_closings`).
    *Raises*: InputError where prompt and text do not fit, or the weights give no finite numbers.
    """
    codec, ids = policy.codec, sent.token_ids
    kept_memory = codec.memory_within(prompt, memory, room=len(ids))
    prompts = [prompt, codec.behind(prompt, kept_memory)] if kept_memory else [prompt]
    openers = frozenset[int]().union(*(codec.ids_that_open(one[0]) for one in closings))
    places = _places(policy, draft, sent, closings, openers)
    arms: tuple[tuple[Arm, ...], tuple[Arm, ...]] = (("base", "memory"), ("weights", "both"))
    with policy.as_reference():
        base = _scored(policy, prompts, ids, openers, places)
    learned = _scored(policy, prompts, ids, openers, places)
    found = (base, learned)
    return {
        arm: scores
        for names, of_weights in zip(arms, found, strict=True)
        for arm, scores in zip(names, of_weights, strict=False)
    }


def refusal_log_odds(policy: Policy) -> list[float]:
    """Return the log-odds of refusing each request against complying, of the weights that run.

    Either is opened in one of three ways. *Units*: nats.
    """
    samples = [_opening(policy, text) for text in (*REFUSING, *COMPLYING)]
    prompts = [request for request in REQUESTS for _ in samples]
    scores = policy.logprobs(prompts, samples * len(REQUESTS)).reshape(len(REQUESTS), len(samples))
    refusing, complying = scores[:, : len(REFUSING)], scores[:, len(REFUSING) :]
    odds: list[float] = (refusing.logsumexp(1) - complying.logsumexp(1)).tolist()
    return odds


def drawn(
    policy: Policy,
    asked: Sequence[Asked],
    *,
    seed: int,
    sampling: SamplingConfig,
    before: Callable[[], None] = lambda: None,
) -> list[Drawn]:
    """Draw a draft to look at for each prompt; a prompt that comes again has another draft.

    It is drawn behind its whole memory, which is to leave room for `DRAWN_TOKENS`. `before` is
    called ahead of a batch of prompts, and of each 16 tokens.
    *Raises*: InputError, PromptTooLongError.
    """
    codec = policy.codec
    prompts = [codec.behind(one.prompt, one.memory) for one in asked]
    longest = max((len(codec.encode_prompt(prompt)) for prompt in prompts), default=0)
    at_once = policy.branches_at_once(longest + DRAWN_TOKENS)
    found: list[Drawn] = []
    for start in range(0, len(asked), at_once):
        part = slice(start, start + at_once)
        seeds = range(seed, seed + len(asked))[part]
        before()
        decoding = policy.start(prompts[part], 1, DRAWN_TOKENS, seeds, sampling=sampling)
        while policy.advance(decoding):
            if decoding.steps % TOKENS_A_TURN == 0:
                before()
        for one, branch in zip(asked[part], decoding.branches(), strict=True):
            loops = first_loop(branch.token_ids, codec.decode) is not None
            found.append(Drawn(one.prompt, codec.decode(branch.token_ids), loops, one.memory))
    return found


def _scored(
    policy: Policy,
    prompts: Sequence[Prompt],
    ids: tuple[int, ...],
    openers: frozenset[int],
    places: _Places,
) -> list[EditScores]:
    """Return what a sent text says of the weights that run, after each prompt, in one pass."""
    ends = sorted(policy.codec.end_ids)
    encoded = [policy.codec.encode_prompt(prompt) for prompt in prompts]
    for prompt_ids in encoded:
        policy.codec.check_fits(prompt_ids, ids)
    with policy.active() as network:
        trees = [tree for prompt_ids in encoded for tree in network.trees(prompt_ids, [ids])]
        rows = logprobs_beside(network, trees, [*ends, *sorted(openers)])
    found = []
    for tokens, beside in rows:
        if not bool(tokens.isfinite().all()):
            raise InputError("The weights give no finite log-probabilities; score with others.")
        ending, closing = (
            part.logsumexp(1).clamp(max=0.0).tolist()
            for part in (beside[:, : len(ends)], beside[:, len(ends) :])
        )
        surprisal = inserted_surprisal(tokens.clamp(max=0.0).tolist(), places.inserted)
        survival = log_survival(ending, closing, places.body, places.opens)
        found.append(EditScores(surprisal, survival))
    return found


def _places(
    policy: Policy,
    draft: Sample,
    sent: Sample,
    closings: Sequence[Closing],
    openers: frozenset[int],
) -> _Places:
    """Return what the rules look at in a sent text, whose ids are its own."""
    codec, ids = policy.codec, sent.token_ids
    inserted, kept = origins(draft.token_ids, ids, codec.end_ids)
    ends = codec.ends_in_text(ids)
    if ends is None:
        return _Places(inserted, [False] * len(ids), [False] * len(ids))
    text = codec.decode(ids)
    body_to = body_end(text, closings)
    begins = [0, *ends[:-1]]
    is_body = [place is not None and place < body_to for place in begins]
    # A kept token that a closing begins with too is no end of the body there.
    opens = [
        place is not None and text[:place].rstrip(" \t").endswith("\n") and token not in openers
        for place, token in zip(begins, ids, strict=True)
    ]
    body = [own and inside for own, inside in zip(kept, is_body, strict=True)]
    return _Places(inserted, body, opens)


def _opening(policy: Policy, text: str) -> Sample:
    """Return how a text opens, which goes on somehow."""
    ids = policy.codec.encode_response(text).token_ids
    return Sample(text, ids[:-1], None, finished=False)
