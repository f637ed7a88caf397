"""`corll forget`: delete a text, an import, all texts, the model, or a user, and what saw it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field
from tyro.conf import Positional, arg

from corll.cli.dialogue import ask, terminal_dialogue
from corll.cli.parsing import parse
from corll.cli.settings import OptionalName
from corll.cli.store import Namespace, StoreSettings, UserSettings, actor
from corll.client import DEFAULT_BASE_URL
from corll.errors import ConfigError, InputError
from corll.schemas.deletions import Receipt
from corll.schemas.states import Deletable
from corll.service.store.accounts import DEFAULT_USER, LOCAL_NAMESPACE, find_user
from corll.service.store.database import Database

if TYPE_CHECKING:
    from corll.client import Corll

_BY_ID = ("edit", "draft", "import")


class ForgetSettings(StoreSettings):
    """Delete something, with all weights that saw it. The receipt goes to standard output.

    What would be undone is said first, and then it is asked. Of a data folder that a service uses,
    the service has to be asked, with --base-url: it holds texts in memory.
    """

    kind: Positional[Deletable] = Field(
        description="What to delete: one edit, draft or import; all texts of a user; the model "
        "that was learned from them; or the user."
    )
    thing: Positional[str] = Field("", description="The id of the edit, draft or import.")
    user: OptionalName = Field(
        None,
        min_length=1,
        max_length=64,
        description=f"The user, by name or id; by default `{DEFAULT_USER}`. Beside the id of a "
        "thing: whose it has to be.",
    )
    namespace: Annotated[Namespace | None, arg(metavar="NAME", help_behavior_hint="")] = Field(
        None,
        description=f"The name space that knows the name; by default `{LOCAL_NAMESPACE}`. A "
        "service takes that of the key.",
    )
    dry_run: bool = Field(False, description="Only say what would be undone, and its cost.")
    yes: bool = Field(False, description="Do not ask.")
    base_url: OptionalName = Field(
        None,
        description=f"Ask the service that answers there, such as {DEFAULT_BASE_URL}, with the key "
        "in CORLL_API_KEY; by default the data folder is changed.",
    )

    def named(self) -> UserSettings:
        """Return which user of the data folder is meant."""
        return UserSettings(
            data_dir=self.data_dir,
            database=self.database,
            versions=self.versions,
            user=self.user or DEFAULT_USER,
            namespace=self.namespace or LOCAL_NAMESPACE,
        )


class _Owner(NamedTuple):
    """Whose something is. `known_in` is empty where a service does not say the name space."""

    id: str
    name: str
    known_in: str

    def __str__(self) -> str:
        return f"user {self.name!r} ({', '.join(filter(None, (self.id, self.known_in)))})"


class _Plan(NamedTuple):
    """The receipt that a deletion would give, and whose it is."""

    receipt: Receipt
    owner: _Owner

    @property
    def what(self) -> str:
        """What is to be deleted, for people."""
        of_all = {"texts": "all texts of ", "model": "the model of ", "user": ""}
        kind = self.receipt.kind
        return f"{of_all.get(kind, f'{kind} {self.receipt.subject} of ')}{self.owner}"

    def check_owner(self, named: _Owner) -> None:
        """*Raises*: InputError for what is another's than the one who was named."""
        if named.id != self.owner.id:
            raise InputError(
                f"{self.what} is not of {named}; nothing was deleted. Leave --user out, or name "
                "whose it is."
            )


def main(arguments: Sequence[str]) -> None:
    settings = parse(ForgetSettings, arguments, command="forget")
    _check(settings)
    plan = _planned(settings)
    print(f"To be deleted: {plan.what}.", file=sys.stderr)
    for line in told(plan.receipt):
        print(line, file=sys.stderr)
    if settings.dry_run:
        return
    dialogue = terminal_dialogue(yes=settings.yes)
    if not settings.yes and not (dialogue.someone_is_there and ask(f"Delete {plan.what}?")):
        raise ConfigError("Nothing was deleted. At a terminal it is asked; --yes goes on.")
    receipt = _deleted(settings, plan.receipt.subject)
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


def _check(settings: ForgetSettings) -> None:
    """Check that the flags name one thing, or one user. *Raises*: ConfigError."""
    if (settings.kind in _BY_ID) != bool(settings.thing):
        raise ConfigError(
            f"`corll forget {settings.kind}` needs the id of what is to be deleted."
            if settings.kind in _BY_ID
            else f"`corll forget {settings.kind}` takes no id: --user names whose."
        )
    if settings.namespace is None:
        return
    if settings.base_url is not None:
        raise ConfigError(
            "A service knows names by the name space of the key: leave --namespace out, and give "
            "the user's id as --user (GET /v1/users lists them), or use a key of that name space."
        )
    if settings.thing and settings.user is None:
        raise ConfigError(
            "--namespace says where --user is known: beside an id give both, or neither."
        )


def _planned(settings: ForgetSettings) -> _Plan:
    """Return what would be deleted. *Raises*: InputError where it is not there, or another's."""
    if settings.base_url is not None:
        return _planned_by_service(settings, settings.base_url)
    from corll.service.versions.forgetting import delete_now

    with _folder(settings) as database:
        named = None
        if settings.user is not None or not settings.thing:
            user = settings.named().found_in(database)
            named = _Owner(user.id, user.name, f"name space {user.namespace!r}")
        subject = settings.thing or (named.id if named else "")
        receipt = delete_now(database, settings.kind, subject, actor=actor(), dry_run=True)
        with database.read() as db:
            owner = find_user(db, receipt.user)
    assert owner is not None
    plan = _Plan(receipt, _Owner(owner.id, owner.name, f"name space {owner.namespace!r}"))
    if named is not None:
        plan.check_owner(named)
    return plan


def _planned_by_service(settings: ForgetSettings, base_url: str) -> _Plan:
    with _service(base_url) as client:
        named = None
        if settings.user is not None or not settings.thing:
            asked = settings.user or DEFAULT_USER
            user = client.users.retrieve(asked)
            named = _Owner(user.id, user.name, "the key's name space" * (user.name == asked))
        subject = settings.thing or (named.id if named else "")
        receipt = _by_service(client, settings.kind, subject, dry_run=True)
        owner = named
        if owner is None or owner.id != receipt.user:
            user = client.users.retrieve(receipt.user)
            owner = _Owner(user.id, user.name, "")
        plan = _Plan(receipt, owner)
    if named is not None:
        plan.check_owner(named)
    return plan


def _by_service(client: Corll, kind: Deletable, subject: str, *, dry_run: bool) -> Receipt:
    forgotten = client.deletions.create(kind, subject, dry_run=dry_run)
    return Receipt.model_validate(forgotten.receipt.model_dump(exclude_unset=True))


def _deleted(settings: ForgetSettings, subject: str) -> Receipt:
    """Delete what was planned."""
    if settings.base_url is not None:
        with _service(settings.base_url) as client:
            return _by_service(client, settings.kind, subject, dry_run=False)
    from corll.service.versions.forgetting import delete_now

    with _folder(settings) as database:
        return delete_now(database, settings.kind, subject, actor=actor())


@contextmanager
def _folder(settings: ForgetSettings) -> Iterator[Database]:
    """Yield the database of a folder that no service uses. *Raises*: ConfigError where one does."""
    from corll.service.announcing import noted_address
    from corll.service.folder_lock import only_server

    with settings.opened() as database, ExitStack() as stack:
        try:
            stack.enter_context(only_server(settings.data_dir))
        except ConfigError as error:
            address = noted_address(settings.data_dir) or DEFAULT_BASE_URL
            raise ConfigError(
                f"A service uses {settings.data_dir}, and holds texts in memory: ask it, with "
                f"--base-url {address} and a key in CORLL_API_KEY, or stop it."
            ) from error
        yield database


@contextmanager
def _service(base_url: str) -> Iterator[Corll]:
    """Yield what asks a service. *Raises*: ConfigError where none answers; InputError."""
    import openai

    from corll.client import Corll

    client = Corll(base_url=base_url)
    try:
        yield client
    except openai.APIConnectionError as error:
        raise ConfigError(
            f"No service answers at {client.base_url}: say where it is with --base-url."
        ) from error
    except openai.APIStatusError as error:
        raise InputError(f"The service says: {error}") from error
    finally:
        client.close()
