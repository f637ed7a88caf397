"""`corll import FILE`: hand texts that were sent before to a running service, and wait."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import Field
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from tyro.conf import Positional, arg

from corll.cli.framing import FrameSettings
from corll.cli.parsing import parse
from corll.cli.settings import OptionalName, OptionalNumber
from corll.client import DEFAULT_BASE_URL, as_item
from corll.configuring import Config
from corll.edit_logs.logged import by_user
from corll.edit_logs.reading import ToolForm, read_edits
from corll.errors import ConfigError, InputError, TrainingError
from corll.past_texts.reading import PastText, read_past_texts
from corll.records import messages_of
from corll.service.settings import ServiceSettings

if TYPE_CHECKING:
    from corll.client import Corll
    from corll_client.answers import Import, Interval

_STATES = {
    "waiting": "waits for the learner",
    "running": "is learned from",
    "done": "done",
    "failed": "failed",
}
_BYTES_AROUND = 1024
"""Room for what a request holds besides its texts."""

_MOST_LISTED = 20
"""Of the texts that teach nothing."""


class ImportSettings(Config):
    """Let a running service learn from texts that you sent before, and measure what it brings.

    The key is read from the variable CORLL_API_KEY. A fifth of the texts is held out, where there
    are 12 or more, to measure edit cost before and after. A frame is best the one that drafts will
    be asked for in; the desk begins with reply.
    """

    file: Positional[Path] = Field(
        description=".jsonl or .jsonl.gz (fields prompt, sent, perhaps draft, hint, sign_as), .csv "
        "(a header with these names), or an mbox; with --from, what that tool exports."
    )
    form: Annotated[
        ToolForm | None,
        arg(name="from", metavar=f"{{{','.join(get_args(ToolForm))}}}", help_behavior_hint=""),
    ] = Field(
        None,
        description="The tool whose log of edits the file is: its drafts come with their edits.",
    )
    log_user: OptionalName = Field(
        None,
        description="With --from: whose edits, by the name in the log, where it has several users.",
    )
    me: Annotated[tuple[str, ...], arg(metavar="ADDRESS…")] = Field(
        (), description="The addresses that you sent from, for an mbox."
    )
    user: OptionalName = Field(
        None, description="Whose texts they are; by default the key's own user."
    )
    framed: FrameSettings = Field(
        default_factory=FrameSettings, description="What the model is told around each prompt."
    )
    latest: OptionalNumber = Field(
        None, ge=1, description="Only so many of the texts, the last of the file."
    )
    base_url: OptionalName = Field(
        None,
        description=f"Where the service answers; by default CORLL_BASE_URL or {DEFAULT_BASE_URL}.",
    )
    max_import_mb: int = Field(
        ServiceSettings.model_fields["max_import_mb"].default,
        ge=1,
        description="Largest request that the service takes, by its own --max-import-mb.",
    )
    poll_s: float = Field(2.0, gt=0, description="Seconds between two looks at how far it is.")


def main(arguments: Sequence[str]) -> None:
    settings = parse(ImportSettings, arguments, command="import")
    texts = _texts(settings)
    texts = texts[-settings.latest :] if settings.latest else texts
    console = Console(highlight=False)
    with _client(settings) as client:
        started = _start(client, texts, settings)
        console.print(f"{len(texts)} texts handed over as {started.id}.", soft_wrap=True)
        try:
            with _shown(console, started.total) as show:
                done = _finished(client, started, settings.poll_s, show)
        except BaseException:
            print(f"The service goes on with {started.id} by itself.", file=sys.stderr)
            raise
    if done.state == "failed":
        raise TrainingError(f"The import failed: {done.error or 'the service does not say why'}")
    for line in summary(done):
        console.print(line, soft_wrap=True, markup=False)


def _texts(settings: ImportSettings) -> list[PastText]:
    """Return the texts that are handed over, the earliest first. *Raises*: InputError."""
    if settings.form is None:
        return read_past_texts(settings.file, me=settings.me)
    users = by_user(read_edits(settings.file, settings.form))
    if settings.log_user is None and len(users) == 1:
        (edits,) = users.values()
    else:
        names = ", ".join(map(repr, users))
        if settings.log_user not in users:
            raise InputError(
                f"{settings.file} has edits of {names}, and an import is of one user: say by "
                "--log-user whose edits are handed over."
            )
        edits = users[settings.log_user]
    return [PastText(edit.prompt, edit.sent, edit.draft) for edit in edits]


def summary(done: Import) -> Iterator[str]:
    """Say in lines what an import brought."""
    result = done.result
    version = None if result is None else result.version
    served = "" if version is None else f"; version {version} serves now"
    yield f"{done.used} of {done.total} texts were learned from{served}."
    yield from _skipped(done)
    if result is None or result.edit_cost_before is None or result.edit_cost_after is None:
        yield "Too few texts to hold some out: what it brought was not measured."
        return
    where = f"on {result.held_out} held-out texts" if result.held_out else "on held-out texts"
    yield f"Edit cost {where}: {_interval(result.edit_cost_before)} before,"
    yield f"{_interval(result.edit_cost_after)} after (in brackets 95 % intervals)."
    if result.change is not None:
        mean, low, high = result.change.mean, result.change.low, result.change.high
        yield f"Change: {mean:+.0%} (95 % interval {low:+.0%} to {high:+.0%})."
        if low <= 0 <= high:
            yield "The interval holds 0: these texts do not show a difference."
    if result.surprisal_before is not None and result.surprisal_after is not None:
        yield f"Surprisal of their tokens, in nats: {_interval(result.surprisal_before)} before,"
        yield f"{_interval(result.surprisal_after)} after; less is nearer to how you write."
    if result.taken_back:
        yield "What was learned makes none of them likelier for certain, so it does not serve."


def _skipped(done: Import) -> Iterator[str]:
    """Say in lines which texts teach nothing, and why."""
    if not done.skipped:
        return
    yield f"{done.skipped} {'teaches' if done.skipped == 1 else 'teach'} nothing:"
    listed = done.skipped_texts[:_MOST_LISTED]
    for text in listed:
        yield f"  text {text.item}: {text.reason}"
    if more := done.skipped - len(listed):
        yield f"  and {more} more."


def _interval(figure: Interval) -> str:
    return f"{figure.mean:.3f} ({figure.low:.3f} to {figure.high:.3f})"


@contextmanager
def _client(settings: ImportSettings) -> Iterator[Corll]:
    """Yield the client; raise errors of ours for what goes wrong with the service."""
    try:
        from corll.client import Corll
    except ImportError as error:
        raise ConfigError(str(error)) from error
    import openai

    client = Corll(base_url=settings.base_url)
    try:
        yield client
    except openai.APIConnectionError as error:
        raise ConfigError(
            f"No service answers at {client.base_url}: start one with `corll serve`, or say where "
            "it is with --base-url."
        ) from error
    except openai.APIStatusError as error:
        hint = " Hand over fewer at a time, with --latest." if error.status_code == 413 else ""
        raise InputError(f"The service says: {_message(error)}{hint}") from error
    finally:
        client.close()


def _message(error: Exception) -> str:
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else str(error)


def _start(client: Corll, texts: Sequence[PastText], settings: ImportSettings) -> Import:
    items = [
        as_item(
            messages_of(text.prompt), text.sent, text.draft, hint=text.hint, sign_as=text.sign_as
        )
        for text in texts
    ]
    _check_size(items, settings.max_import_mb)
    framed = settings.framed
    return client.imports.create(
        items,
        user=settings.user,
        frame=None if framed.frame == "none" else framed.frame,
        sign_as=framed.sign_as or None,
        frame_template=framed.template,
    )


def _check_size(items: Sequence[Mapping[str, Any]], most_mb: int) -> None:
    """Check a request's size. *Raises*: InputError where the service would refuse it."""
    compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
    sizes = [len(compact.encode(item).encode()) + 1 for item in items]
    room = most_mb * 2**20 - _BYTES_AROUND
    if sum(sizes) <= room:
        return
    count = sum(size <= room for size in accumulate(reversed(sizes)))
    fewer = f"hand over the last of them, with --latest {count}, or " if count else ""
    texts = "1 text makes" if len(items) == 1 else f"{len(items)} texts make"
    raise InputError(
        f"{texts} a request of {sum(sizes) / 2**20:.1f} MB, and the service takes {most_mb} MB: "
        f"{fewer}start it with a larger --max-import-mb and say the same here."
    )


def _finished(
    client: Corll, started: Import, poll_s: float, show: Callable[[Import], None]
) -> Import:
    current = started
    while True:
        show(current)
        if current.state in ("done", "failed"):
            return current
        time.sleep(poll_s)
        current = client.imports.retrieve(started.id)


@contextmanager
def _shown(console: Console, total: int) -> Iterator[Callable[[Import], None]]:
    """Show a line that moves at a terminal; in a pipe, a line where the state changes."""
    if not console.is_terminal:
        said: list[str] = []

        def say(current: Import) -> None:
            if current.state not in said:
                said.append(current.state)
                console.print(f"{current.id} {_STATES.get(current.state, current.state)}")

        yield say
        return
    columns = TextColumn("{task.completed}/{task.total} texts"), BarColumn(bar_width=16)
    left = TimeRemainingColumn(compact=True)
    with Progress(*columns, TextColumn("{task.description}"), left, console=console) as progress:
        task = progress.add_task("", total=total)

        def move(current: Import) -> None:
            state = _STATES.get(current.state, current.state)
            progress.update(task, completed=current.used, total=current.total, description=state)

        yield move
