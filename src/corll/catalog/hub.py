"""Fetches a model from the Hugging Face hub, and checks that all of it came."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from corll.errors import ModelNotFoundError

_WANTED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
_SHA256_DIGITS = 64
_PATIENCE_S = 5.0


def fetch_from_hub(repository: str, *, only_here: bool = False) -> Path:
    """Return the folder of a model of the hub, fetched where it is not in the hub's cache.

    With `only_here` nothing is asked of the hub. *Raises*: ModelNotFoundError.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        return Path(
            snapshot_download(repository, allow_patterns=list(_WANTED), local_files_only=only_here)
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise ModelNotFoundError(
            f"No model {repository!r}: not a folder here, not in the hub's cache, and the hub did "
            f"not give it ({type(error).__name__}). Check the name, the connection, and your "
            f"access; `corll models` lists what is here."
        ) from error


def check_blobs(folder: Path) -> None:
    """Check each large file of a snapshot against its SHA-256, by which the hub's cache names it.

    *Raises*: ModelNotFoundError where a file differs; it is removed, to be fetched again.
    """
    for file in _large_files(folder):
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if found != file.name:
            file.unlink()
            raise ModelNotFoundError(
                f"A file of {folder} is not what the hub says that it is (SHA-256 {found[:12]}…, "
                f"not {file.name[:12]}…). It was removed; fetch the model again."
            )


def _large_files(folder: Path) -> Iterator[Path]:
    for link in folder.glob("*.safetensors"):
        blob = link.resolve()
        if len(blob.name) == _SHA256_DIGITS:
            yield blob


def hub_folder(repository: str) -> Path | None:
    """Return the folder of a model in the hub's cache; None where it is not there whole."""
    try:
        folder = fetch_from_hub(repository, only_here=True)
    except ModelNotFoundError:
        return None
    return folder if any(folder.glob("*.safetensors")) else None


def can_be_reached(repository: str) -> bool:
    """Say whether the hub answers for a repository, within some seconds."""
    import httpx
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    # Not by the hub's own library, whose errors are those of whatever client it speaks through.
    url = f"{constants.ENDPOINT}/api/models/{repository}"
    try:
        return httpx.get(url, timeout=_PATIENCE_S, follow_redirects=True).is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def remove_from_hub_cache(repository: str) -> int:
    """Remove a model from the hub's cache; return how many bytes became free."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = scan_cache_dir()
    except CacheNotFound:
        return 0
    revisions = [
        revision.commit_hash
        for repo in found.repos
        if repo.repo_type == "model" and repo.repo_id == repository
        for revision in repo.revisions
    ]
    strategy = found.delete_revisions(*revisions)
    freed: int = strategy.expected_freed_size
    strategy.execute()
    return freed
