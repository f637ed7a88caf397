"""`corll forget`: delete a text, an import, all texts, the model, or a user, and what saw it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from pydantic import Field
from tyro.conf import Positional

from corll.cli.dialogue import ask, terminal_dialogue
from corll.cli.parsing import parse
from corll.cli.settings import OptionalName
from corll.cli.store import UserSettings, actor
from corll.client import DEFAULT_BASE_URL
from corll.errors import ConfigError, InputError
from corll.schemas.deletions import Receipt
from corll.schemas.states import Deletable

_BY_ID = ("edit", "draft", "import")


class ForgetSettings(UserSettings):
    """Delete something, with all weights that saw it. The receipt goes to standard output.

    What would be undone is said first, and then it is asked. Of a data folder that a service uses,
    the service has to be asked, with --base-url: it holds texts in memory.
    """

    kind: Positional[Deletable] = Field(
        description="What to delete: one edit, draft or import; all texts of a user; the model "
        "that was learned from them; or the user."
    )
    thing: Positional[str] = Field("", description="The id of the edit, draft or import.")
    dry_run: bool = Field(False, description="Only say what would be undone, and its cost.")
    yes: bool = Field(False, description="Do not ask.")
    base_url: OptionalName = Field(
        None,
        description=f"Ask the service that answers there, such as {DEFAULT_BASE_URL}, with the key "
        "in CORLL_API_KEY; by default the data folder is changed.",
    )


def main(arguments: Sequence[str]) -> None:
    settings = parse(ForgetSettings, arguments, command="forget")
    if (settings.kind in _BY_ID) != bool(settings.thing):
        raise ConfigError(
            f"`corll forget {settings.kind}` needs the id of what is to be deleted."
            if settings.kind in _BY_ID
            else f"`corll forget {settings.kind}` takes no id: --user names whose."
        )
    planned = _deleted(settings, dry_run=True)
    for line in told(planned):
        print(line, file=sys.stderr)
    if settings.dry_run:
        return
    dialogue = terminal_dialogue(yes=settings.yes)
    if not settings.yes and not (dialogue.someone_is_there and ask("Delete it?")):
        raise ConfigError("Nothing was deleted. At a terminal it is asked; --yes goes on.")
    receipt = _deleted(settings, dry_run=False)
    print(f"Deleted. The receipt of {receipt.id}:", file=sys.stderr)
    print(receipt.model_dump_json(indent=1))


def told(receipt: Receipt) -> Iterator[str]:
    """Yield in lines what a deletion undoes, what it does not, and what that costs."""
    gone = {name.replace("_", " "): n for name, n in receipt.counts.model_dump().items() if n}
    texts = ", ".join(f"{count} {name}" for name, count in gone.items()) or "no texts"
    yield f"Deleted are: {texts}."
    numbers = ", ".join(str(one.number) for one in receipt.erased)
    yield f"Versions that saw it, and are erased: {numbers or 'none'}."
    for number in receipt.references:
        yield f"Reference {number} was made of one of them, and is erased too."
    if receipt.erased:
        version = receipt.stands_in
        serves = "the reference" if version is None else f"version {version.number}"
        yield f"From then on {serves} serves."
    if receipt.replay.state == "waiting":
        yield f"The learner replays {receipt.replay.edits} edits{_about(receipt.replay.seconds)}."
    if receipt.drafts_of_erased or receipt.drafts_behind:
        yield (
            f"Not undone: {receipt.drafts_of_erased} drafts that these versions wrote, and "
            f"{receipt.drafts_behind} that were drawn behind it, stay and may repeat it."
        )
    yield "Not reached: backups, logs, other texts that quote it, and copies that left the service."


def _about(seconds: float | None) -> str:
    if seconds is None:
        return "; how long that takes is not known"
    return f", about {seconds:.0f} s" if seconds < 90 else f", about {seconds / 60:.0f} minutes"


def _deleted(settings: ForgetSettings, *, dry_run: bool) -> Receipt:
    if settings.base_url is not None:
        return _by_service(settings, dry_run=dry_run)
    from corll.service.folder_lock import only_server
    from corll.service.versions.forgetting import delete_now

    with settings.opened() as database:
        subject = settings.thing or settings.found_in(database).id
        try:
            alone = only_server(settings.data_dir)
            with alone:
                return delete_now(database, settings.kind, subject, actor=actor(), dry_run=dry_run)
        except ConfigError as error:
            raise ConfigError(
                f"A service uses {settings.data_dir}, and holds texts in memory: ask it, with "
                f"--base-url {DEFAULT_BASE_URL} and a key in CORLL_API_KEY, or stop it."
            ) from error


def _by_service(settings: ForgetSettings, *, dry_run: bool) -> Receipt:
    """Ask a service to delete. *Raises*: ConfigError where none answers; InputError."""
    import openai

    from corll.client import Corll

    client = Corll(base_url=settings.base_url)
    subject = settings.thing or settings.user
    try:
        forgotten = client.deletions.create(settings.kind, subject, dry_run=dry_run)
        return Receipt.model_validate(forgotten.receipt.model_dump(exclude_unset=True))
    except openai.APIConnectionError as error:
        raise ConfigError(
            f"No service answers at {client.base_url}: say where it is with --base-url."
        ) from error
    except openai.APIStatusError as error:
        raise InputError(f"The service says: {error}") from error
    finally:
        client.close()
