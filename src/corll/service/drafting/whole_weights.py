"""Whether the weights that are to draft are those that were published, to the byte."""

from __future__ import annotations

from corll.errors import AdapterError
from corll.model.file_names import OPTIMIZER
from corll.service.drafting.requests import VersionFolder
from corll.service.versions.publishing import verify, verify_reference


def check_weights(version: VersionFolder) -> None:
    """Check what drafts against its checksums. *Raises*: AdapterError where it was damaged.

    The optimiser's state is not looked at, since nothing is drafted by it.
    """
    try:
        if version.manifest_sha256 is not None:
            verify(version.folder, version.manifest_sha256, but=(OPTIMIZER,))
        if version.reference is not None and version.fingerprint is not None:
            verify_reference(version.reference, version.fingerprint)
    except AdapterError as error:
        raise AdapterError(
            f"{error} Nothing is drafted with it; `corll doctor` says what can be mended."
        ) from error
