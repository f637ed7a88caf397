"""`corll doctor`: what is wrong with a data folder, what to do about it, and what it can mend."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from tyro.conf import Positional

from corll.cli.parsing import parse
from corll.cli.store import StoreSettings, check_up_to_date
from corll.errors import StoreError
from corll.service.doctor.examining import examine, mend
from corll.service.doctor.findings import Finding
from corll.service.folder_lock import is_served, only_server
from corll.service.setting_kinds import OptionalText


class DoctorSettings(StoreSettings):
    """Say what is wrong with a data folder: rows, weights, lineages, and what a crash left.

    Every file of weights is read and compared with its checksum. Nothing is changed without --mend.
    The exit code is 2 where something is wrong and was not mended.
    """

    place: Positional[OptionalText] = Field(
        None, description="A data folder, or the URL of a database beside --data-dir."
    )
    mend: bool = Field(
        False, description="Mend what can be mended. The service must not run meanwhile."
    )


def main(arguments: Sequence[str]) -> None:
    """Run the command. *Raises*: StoreError where something is wrong; ConfigError."""
    settings = parse(DoctorSettings, arguments, command="doctor")
    settings = settings.at(settings.place)
    with settings.opened(migrate=False) as database:
        check_up_to_date(database)
        if settings.mend:
            with only_server(settings.data_dir):
                _report(mend(database, lambda said: print(f"Mended. {said}")))
            return
        running = is_served(settings.data_dir)
        found = examine(database, is_served=running)
    if running:
        print("A server runs: what it may be writing now was left out.")
    _report(found)


def _report(found: Sequence[Finding]) -> None:
    """Print the findings. *Raises*: StoreError where there are any."""
    for finding in found:
        print(f"- {finding.problem}.")
        if finding.advice:
            print(f"  {finding.advice}")
        if finding.mending:
            print(f"  --mend {finding.mending}.")
    if found:
        raise StoreError(f"{len(found)} findings; see what stands above")
    print("Nothing is wrong.")
