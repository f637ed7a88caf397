"""The desk's page and files as they cross the wire: compressed, and kept as long as they may be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from corll.service.api import desk_routes
from running_service import RunningService, running_service, settings_for

SCRIPT = "const word = 'parcel';\n" * 1000
PAGE = "<!doctype html><title>corll</title>" + '<link href="/assets/a-B.css">' * 50


@pytest.fixture(scope="module")
def service(
    tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """With a front end that was built to a page and a script."""
    files, data = tmp_path_factory.mktemp("static"), tmp_path_factory.mktemp("files")
    (files / "assets").mkdir()
    (files / "index.html").write_text(PAGE)
    (files / "assets" / "index-B67sD0p7.js").write_text(SCRIPT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk_routes, "FILES", files)
        with running_service(settings_for(tiny_model_folder, data, learn=False)) as running:
            yield running


def get(service: RunningService, path: str, **headers: str) -> tuple[httpx.Response, int]:
    """An answer, and how many bytes its body took on the wire."""
    with httpx.stream("GET", service.url + path, headers=headers) as answer:
        answer.read()
        return answer, answer.num_bytes_downloaded


@pytest.mark.parametrize(
    ("path", "text", "kept"),
    [
        ("/assets/index-B67sD0p7.js", SCRIPT, "public, max-age=31536000, immutable"),
        ("/", PAGE, "no-cache"),
        ("/data", PAGE, "no-cache"),
    ],
)
def test_files_are_compressed_for_whoever_takes_it(
    service: RunningService, path: str, text: str, kept: str
) -> None:
    packed, size = get(service, path, **{"accept-encoding": "gzip, br"})
    assert (packed.status_code, packed.text) == (200, text)
    assert packed.headers["content-encoding"] == "gzip"
    assert size < len(text) / 3
    plain, size = get(service, path, **{"accept-encoding": "identity"})
    assert (plain.text, size) == (text, len(text))
    assert "content-encoding" not in plain.headers
    for answer in (packed, plain):
        assert answer.headers["cache-control"] == kept
        assert answer.headers["vary"] == "Accept-Encoding"


def test_a_file_that_is_not_there_is_not_kept(service: RunningService) -> None:
    answer, _ = get(service, "/assets/index-C0000000.js")
    assert answer.status_code == 404
    assert "cache-control" not in answer.headers


def test_streams_are_never_compressed(service: RunningService) -> None:
    body: Any = {"model": "base", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    headers = {"accept-encoding": "gzip"}
    with service.http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
        assert "content-encoding" not in answer.headers
        assert next(answer.iter_raw()).startswith(b"data: {")
