"""Algorithm 1 over one's own history: an import of texts that were sent before.

For each past prompt the version that serves drafts, unless the old draft came along; the text that
was sent is its edit. Some texts are held out, and drafted for before and after. What was learned
serves where it makes these likelier; else what served before does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import takewhile
from typing import Any

import numpy as np
from sqlalchemy import Connection

from corll.draft import make_drafts, within_context
from corll.durable_points import reached
from corll.errors import InputError
from corll.evaluation import Evaluation, compare, evaluate, mean_interval
from corll.model.tokens import TokenCodec
from corll.records import Draft, Prompt
from corll.service.learning.trainer import Trainer
from corll.service.store import accounts, imports, lineages
from corll.service.store.drafts import DraftRow
from corll.service.store.imports import ImportItem, ImportRow
from corll.service.store.lineages import Version
from corll.service.store.rows import new_id
from corll.text import clean_edit, same_text
from corll.verdicts.unfit import why_unfit

_AT_ONCE = 8
_HELD_OUT_SEED = 2**40


class _Sender:
    """The user of Algorithm 1, who sent these texts."""

    def __init__(self, items: Sequence[ImportItem]) -> None:
        self._sent = iter([item.sent for item in items])

    def edit(self, draft: Draft) -> str:
        return next(self._sent)


class _EndedError(Exception):
    """The import was deleted meanwhile, or its user withdrew consent."""


def go_on(trainer: Trainer, row: ImportRow) -> Version | None:
    """Work at a further chunk of an import; the last one leaves it done, with figures.

    Return the version that a chunk made, if it made one.

    It goes on from what is stored, so a process that was killed loses a chunk at most. Where its
    user has withdrawn consent it ends as failed, and nothing more is stored or learned.
    """
    try:
        return _chunk(trainer, row)
    except _EndedError as ended:
        reason = str(ended)
        trainer.database.write(
            lambda db: imports.update_import(
                db, row.id, state="failed", result=None, error=reason, finished_at=time.time()
            )
        )
        return None


def _chunk(trainer: Trainer, row: ImportRow) -> Version | None:
    with trainer.database.read() as db:
        _check_wanted(db, row)
        kept = imports.items_of(db, row.id)
    settled = trainer.base.codec.settled
    items = [replace(item, prompt=settled(item.prompt)) for item in kept]
    held_out = [item for item in items if item.held_out and item.state != "skipped"]
    result: dict[str, Any] = dict(row.result or {})
    if "before" not in result:
        held_out = _usable(trainer, row, held_out)
    if held_out and "before" not in result:
        edits, surprisals = _measured(trainer, row.user_id, held_out)
        former = _serving(trainer, row.user_id)
        result |= {"before": edits.records(), "surprisals": surprisals}
        result["former"] = None if former is None else former.id
        _update(trainer, row, state="running", result=result)
        reached("import measured")
    waiting = [item for item in items if item.state == "waiting" and not item.held_out]
    if waiting:
        _take(trainer, row, waiting[:_AT_ONCE])
        reached("import texts taken")
        return trainer.learn(row.user_id, all_that_waits=len(waiting) <= _AT_ONCE)
    finished = _figures(trainer, row, held_out, result) if held_out else {}
    if finished and not _gains(finished):
        _take_back(trainer, row, result.get("former"))
        serving = _number(_serving(trainer, row.user_id))
        finished |= {"taken_back": serving != finished["version"], "version": serving}
    _update(trainer, row, state="done", result=finished, finished_at=time.time())
    reached("import done")
    return None


def _gains(figures: Mapping[str, Any]) -> bool:
    """Say whether the held-out texts, which no draft has touched, became likelier for certain."""
    return bool(figures["surprisal_change"]["high"] < 0)


def _take_back(trainer: Trainer, row: ImportRow, former: str | None) -> None:
    """Serve what served before the import; where other edits were learned since, all goes on."""

    def take_back(db: Connection) -> None:
        serving = lineages.serving_version(db, row.user_id)
        line = [] if serving is None else lineages.ancestry(db, serving.id)
        since = list(takewhile(lambda version: version.id != former, line))
        if not since or not imports.taught_alone(db, row.id, [version.id for version in since]):
            return
        to = 0 if len(since) == len(line) else line[len(since)].number
        lineages.rollback(db, row.user_id, to=to, requeue=False, actor="learner", now=time.time())

    _write(trainer, row, take_back)


def _check_wanted(db: Connection, row: ImportRow) -> None:
    """*Raises*: _EndedError where nothing more may be stored of this import."""
    if imports.find_import(db, row.id) is None:
        raise _EndedError("the import was deleted")
    user = accounts.find_user(db, row.user_id)
    if user is None or not (user.store and user.learn):
        raise _EndedError(
            "consent was withdrawn, so the rest was neither stored nor learned; once the user "
            "lets texts be stored and learned from (consent: store, learn), import it again"
        )


def _write(trainer: Trainer, row: ImportRow, work: Callable[[Connection], Any]) -> None:
    """Write while the import is wanted, which is looked at in the same transaction."""

    def write(db: Connection) -> None:
        _check_wanted(db, row)
        work(db)

    trainer.database.write(write)


def _update(trainer: Trainer, row: ImportRow, **changes: Any) -> None:
    _write(trainer, row, lambda db: imports.update_import(db, row.id, **changes))


def _figures(
    trainer: Trainer, row: ImportRow, held_out: Sequence[ImportItem], result: Mapping[str, Any]
) -> dict[str, Any]:
    """Measure edit cost and surprisal before and after on the texts that were held out."""
    before = Evaluation.from_records(result["before"])
    after, surprisals = _measured(trainer, row.user_id, held_out)
    figures: dict[str, Any] = {
        "held_out": len(held_out),
        "version": _number(_serving(trainer, row.user_id)),
        "taken_back": False,
    }
    for name, evaluation in (("before", before), ("after", after)):
        figures[f"edit_cost_{name}"] = evaluation.summary(seed=0)["edit_cost"]._asdict()
    change = compare(before, after, seed=0)
    figures["change"] = None if change is None else change._asdict()
    old, new = np.array(result["surprisals"]), np.array(surprisals)
    for name, values in (("before", old), ("after", new), ("change", new - old)):
        figures[f"surprisal_{name}"] = mean_interval(values, seed=0)._asdict()
    return figures


def _measured(
    trainer: Trainer, user_id: str, items: Sequence[ImportItem]
) -> tuple[Evaluation, list[float]]:
    """Measure how far drafts are from what was sent, and how unlikely that is, in nats a token."""
    codec, config = trainer.base.codec, trainer.settings.coactive
    made: list[Draft] = []
    surprisals: list[float] = []
    with trainer.policies.of_user(user_id) as policy:
        for chunk in _chunks(items):
            prompts = [item.prompt for item in chunk]
            sent = [clean_edit(item.sent) for item in chunk]
            seeds = [_HELD_OUT_SEED + item.number for item in chunk]
            trainer.give_way()
            fitting = within_context(policy, prompts, config)
            made += make_drafts(policy, prompts, fitting, seeds=seeds)
            trainer.give_way()
            logprobs = policy.logprobs(prompts, sent).tolist()
            lengths = [len(codec.encode_response(text).token_ids) for text in sent]
            surprisals += [-value / n for value, n in zip(logprobs, lengths, strict=True)]
    return evaluate(made, _Sender(items)), surprisals


def _chunks(items: Sequence[ImportItem]) -> Iterator[Sequence[ImportItem]]:
    return (items[n : n + _AT_ONCE] for n in range(0, len(items), _AT_ONCE))


def _take(trainer: Trainer, row: ImportRow, items: Sequence[ImportItem]) -> None:
    """Draft for the items, and what was sent as the edits."""
    usable = _usable(trainer, row, items)
    if not usable:
        return
    version = _serving(trainer, row.user_id)
    for item, draft in _drafts(trainer, row.user_id, usable):
        if same_text(draft.text, item.sent):
            _mark(trainer, row, item, "the text that was sent is the draft itself")
            continue
        _record(trainer, row, version, item, draft)


def _usable(trainer: Trainer, row: ImportRow, items: Sequence[ImportItem]) -> list[ImportItem]:
    """Return those that can be learned from; skip the others, with the reason."""
    usable, limit = [], trainer.settings.coactive.max_prompt_length
    for item in items:
        try:
            _check(trainer.base.codec, item, limit)
        except InputError as error:
            _mark(trainer, row, item, str(error))
        else:
            usable.append(item)
    return usable


def _check(codec: TokenCodec, item: ImportItem, limit: int | None) -> None:
    """*Raises*: InputError where the model cannot read the prompt, or be taught the texts."""
    prompt_ids = codec.encode_prompt(item.prompt, limit=limit)
    texts = {"text that was sent": clean_edit(item.sent)}
    if item.draft is not None:
        texts["draft"] = item.draft
    for what, text in texts.items():
        codec.check_response(text, what)
        codec.check_fits(prompt_ids, codec.encode_response(text).token_ids)
    if (reason := why_unfit(item.sent)) is not None:
        raise InputError(reason)


def _drafts(
    trainer: Trainer, user_id: str, items: Sequence[ImportItem]
) -> Iterator[tuple[ImportItem, Draft]]:
    """Yield each item with its old draft, or a new one."""
    missing = [item for item in items if item.draft is None]
    if missing:
        prompts = [item.prompt for item in missing]
        with trainer.policies.of_user(user_id) as policy:
            config = within_context(policy, prompts, trainer.settings.coactive)
            trainer.give_way()
            made = make_drafts(policy, prompts, config, seeds=[item.number for item in missing])
        yield from zip(missing, made, strict=True)
    for item in items:
        if item.draft is not None:
            yield item, _old_draft(trainer, item.prompt, item.draft)


def _old_draft(trainer: Trainer, prompt: Prompt, text: str) -> Draft:
    return Draft(prompt, (trainer.base.codec.encode_response(text),))


def _record(
    trainer: Trainer, row: ImportRow, version: Version | None, item: ImportItem, draft: Draft
) -> None:
    sampling = {} if item.draft is not None else trainer.settings.coactive.sampling.model_dump()
    stored = DraftRow(
        id=new_id("chatcmpl-"),
        user_id=row.user_id,
        key_id=None,
        kind="chat",
        model="corll",
        prompt=item.prompt,
        version_id=None if version is None or item.draft is not None else version.id,
        candidates=[asdict(sample) for sample in draft.candidates],
        shown=[draft.choice],
        scores=None if draft.scores is None else list(draft.scores),
        sampling=sampling,
        seed=draft.seed,
        status="complete",
        held_back=False,
        source="import",
        created_at=time.time(),
        asked=item.asked,
    )

    text = clean_edit(item.sent, draft.text)

    def write(db: Connection) -> Any:
        imports.add_imported_preference(
            db, import_id=row.id, draft=stored, text=text, now=time.time()
        )
        imports.mark_item(db, row.id, item.number, state="used", reason=None)

    _write(trainer, row, write)


def _mark(trainer: Trainer, row: ImportRow, item: ImportItem, reason: str) -> None:
    def skip(db: Connection) -> None:
        imports.mark_item(db, row.id, item.number, state="skipped", reason=reason)

    _write(trainer, row, skip)


def _number(version: Version | None) -> int | None:
    return None if version is None else version.number


def _serving(trainer: Trainer, user_id: str) -> Version | None:
    with trainer.database.read() as db:
        return lineages.serving_version(db, user_id)
