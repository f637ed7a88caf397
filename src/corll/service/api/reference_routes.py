"""References: the frozen models that users' weights start from. For admins alone.

An adapter is uploaded as the files of its PEFT folder; no name or path of the client's is used.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect

from corll.errors import AdapterError, StoreError
from corll.model import file_names
from corll.schemas import administration as schemas
from corll.schemas.events import StartEvent
from corll.schemas.requests import StartRequest
from corll.service.api.callers import Caller, CurrentCaller
from corll.service.api.error_answers import bad_request, not_found
from corll.service.api.transfers import transfers_of
from corll.service.store import lineages
from corll.service.store.lineages import Reference
from corll.service.versions.references import import_reference, start_from

PATH = "/v1/references"
router = APIRouter(tags=["references"])

_LONGEST_NAME = 200
_LARGEST_CONFIG = 2**20
_FILES = {
    "adapter_config": file_names.ADAPTER_CONFIG,
    "adapter_model": file_names.ADAPTER_WEIGHTS,
    "corll_base": file_names.BASE,
}
_OPTIONAL = frozenset({"corll_base"})
_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "title": "ReferenceUpload",
                    "required": ["name", "adapter_config", "adapter_model"],
                    "additionalProperties": False,
                    "properties": {
                        "name": {"type": "string", "minLength": 1, "maxLength": _LONGEST_NAME},
                        **{
                            part: {"type": "string", "format": "binary", "description": file}
                            for part, file in _FILES.items()
                        },
                    },
                    "examples": [
                        {
                            "name": "house style",
                            "adapter_config": "(adapter_config.json)",
                            "adapter_model": "(adapter_model.safetensors)",
                        }
                    ],
                }
            }
        },
    }
}


@router.get(PATH, summary="The references")
async def list_references(caller: CurrentCaller) -> schemas.References:
    """The base, and adapters that were imported, in order of number. Needs scope admin."""
    caller.require("admin")
    rows = await caller.services.read(lineages.all_references)
    return schemas.References(object="list", data=[_about(row) for row in rows])


@router.get(PATH + "/{number}", summary="A reference")
async def retrieve_reference(number: int, caller: CurrentCaller) -> schemas.Reference:
    """By its number. Needs scope admin."""
    caller.require("admin")
    rows = await caller.services.read(lineages.all_references)
    for row in rows:
        if row.number == number:
            return _about(row)
    raise not_found("such reference")


@router.post(PATH, summary="Take an adapter as a reference", openapi_extra=_UPLOAD)
async def add_reference(request: Request, caller: CurrentCaller) -> schemas.Reference:
    """The files of a PEFT folder with a LoRA of the same base, which is loaded once to see that it
    fits. The same weights are one reference, whatever they are called. Needs scope admin.
    """
    caller.require("admin")
    # Read here and not by FastAPI, which would take in the files of whoever has no key.
    try:
        async with (
            transfers_of(request).one(caller),
            request.form(max_files=len(_FILES), max_fields=1) as form,
        ):
            name, files = _name(form), _files(form)
            row = await run_in_threadpool(_take_in, caller, name, files)
    except ClientDisconnect as error:
        raise bad_request("The upload was cut short.") from error
    return _about(row)


@router.post("/v1/users/{user_id}/adapters/start", summary="Start over from a reference")
async def start_lineage(user_id: str, body: StartRequest, caller: CurrentCaller) -> schemas.Start:
    """A new lineage: π_0 and the start of the user's weights. What was learned waits to be learned
    again. The base begins at once. An adapter is examined first by the learner, and what serves now
    goes on until it passed: `start` of `GET /v1/users/{id}` says how it stands, and what speaks
    against it. A service that does not learn has it serve at once, unexamined. Needs scope admin.
    """
    caller.require("admin")
    user, services = await caller.user_in_path(user_id), caller.services
    started = await services.write(
        lambda db: start_from(
            db,
            user.id,
            body.reference,
            base_fingerprint=services.drafter.fingerprint,
            examined=services.settings.learn,
            actor=caller.actor,
            now=time.time(),
        )
    )
    services.learner.wake()
    reference, state = started.reference, started.row.state
    event = StartEvent(reference=reference.number, name=reference.name, state=state)
    services.events.publish(user.id, event)
    return schemas.Start(object="start", user=user.id, reference=_about(reference), state=state)


def _name(form: FormData) -> str:
    unknown = set(form) - {"name", *_FILES}
    if unknown:
        message = f"{', '.join(sorted(unknown))}: not supported here."
        raise bad_request(message, code="unsupported_parameter")
    name = form.get("name")
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        raise bad_request(f"name has 1 to {_LONGEST_NAME} printable characters.", param="name")
    return name


def _files(form: FormData) -> dict[str, UploadFile]:
    """By the names they have in a PEFT folder."""
    found: dict[str, UploadFile] = {}
    for part, file in _FILES.items():
        upload = form.get(part)
        if upload is None and part in _OPTIONAL:
            continue
        if not isinstance(upload, UploadFile):
            raise bad_request(f"{part} is the file {file}, as a part of a form.", param=part)
        if file != file_names.ADAPTER_WEIGHTS and (upload.size or 0) > _LARGEST_CONFIG:
            raise bad_request(f"{part} is larger than {_LARGEST_CONFIG} bytes.", param=part)
        found[file] = upload
    return found


def _take_in(caller: Caller, name: str, files: dict[str, UploadFile]) -> Reference:
    services = caller.services
    try:
        with tempfile.TemporaryDirectory(prefix="corll-") as scratch:
            folder = Path(scratch)
            for file, upload in files.items():
                with (folder / file).open("wb") as target:
                    shutil.copyfileobj(upload.file, target)
            try:
                services.drafter.try_adapter(folder)
                return import_reference(
                    services.database, folder, name=name, actor=caller.actor, now=time.time()
                )
            except AdapterError as error:
                raise bad_request(str(error).replace(scratch, "the upload")) from error
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"the adapter cannot be kept ({error.strerror or error})") from error


def _about(row: Reference) -> schemas.Reference:
    return schemas.Reference(
        object="reference",
        number=row.number,
        kind=row.kind,
        name=row.name,
        id=row.id,
        fingerprint=row.fingerprint,
        base_model=row.base_model,
        base_fingerprint=row.base_fingerprint,
        created_at=row.created_at,
    )
