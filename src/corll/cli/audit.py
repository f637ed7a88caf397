"""`corll audit`: does a user's model give their texts away?"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from tyro.conf import arg

from corll.cli.dialogue import terminal_dialogue
from corll.cli.parsing import parse
from corll.cli.settings import WHICH_DEVICE, OptionalName
from corll.cli.store import UserSettings, check_up_to_date
from corll.service.audit.plan import AuditPlan


class AuditSettings(UserSettings):
    """Look for planted secrets in a copy of a user's model, and for rare strings of their texts.

    The copy is learned again in memory, by the service's settings as CORLL_* variables give them.
    Nothing is written. A service may run meanwhile. Secrets go to standard output alone.
    """

    device: OptionalName = Field(None, description=WHICH_DEVICE)
    as_json: Annotated[bool, arg(name="json")] = Field(
        False, description="Print the audit as JSON, for programs."
    )
    plan: AuditPlan = Field(
        default_factory=AuditPlan, description="How many secrets are looked for, and how closely."
    )


def main(arguments: Sequence[str]) -> None:
    """Run the command. *Raises*: ConfigError, InputError."""
    settings = parse(AuditSettings, arguments, command="audit")
    # The model is loaded with torch, and --help must not wait for it.
    from corll.service.audit.auditing import audit, taught_of
    from corll.service.audit.reporting import as_json, told
    from corll.service.base_choice import with_base_named
    from corll.service.base_model import load_base, with_models_sampling

    device = {} if settings.device is None else {"device": settings.device}
    served = settings.as_served(**device)
    with settings.opened(migrate=False) as database:
        check_up_to_date(database)
        user = settings.found_in(database)
        taught_of(database, user, served)  # before the model is loaded for nothing
        served = with_base_named(served, database, terminal_dialogue())
        base = load_base(served)
        served = with_models_sampling(served, base)
        found = audit(base, database, served, user, settings.plan, say=_say)
    if settings.as_json:
        print(json.dumps(as_json(found), ensure_ascii=False, indent=1))
        return
    for line in told(found):
        print(line)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
