"""A real Chromium before a real service on the tiny model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from writing_desk import Desk

from corll.service.api.desk_routes import FILES
from patience import PATIENCE_S
from running_service import RunningService, running_service, settings_for

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser; each test gets a profile of its own in it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser at {CHROMIUM}; apt-get install chromium brings it")
    if not (FILES / "index.html").exists():
        pytest.skip("the desk is not built; `make desk` builds it")
    playwright.expect.set_options(timeout=1000 * PATIENCE_S)
    with playwright.sync_playwright() as started:
        # Containers run as root, where Chromium's own sandbox refuses to work.
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def service(
    chromium: Any, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """A service whose learner runs."""
    with running_service(settings_for(tiny_model_folder, tmp_path_factory.mktemp("desk"))) as it:
        yield it


@pytest.fixture
def browser(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Makes profiles of the browser, each with its own cookies and storage."""
    made: list[Any] = []

    def profile(**options: Any) -> Any:
        context = chromium.new_context(viewport={"width": 1280, "height": 860}, **options)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.set_default_timeout(1000 * PATIENCE_S)
        made.append(context)
        return context

    yield profile
    for context in made:
        context.close()


@pytest.fixture
def open_desk(browser: Callable[..., Any]) -> Callable[..., Desk]:
    """Signs a user in, in a profile of their own, and opens the desk."""

    def opened(service: RunningService, user: str, *, learn: bool = True, **options: Any) -> Desk:
        desk = Desk(browser(**options).new_page(), service, user)
        link = desk.link()
        service.put(f"users/{user}/consent", {"learn": learn})
        desk.follow(link)
        return desk

    return opened


@pytest.fixture
def says() -> Callable[[Desk, str], None]:
    """Puts words in the model's mouth: the stream is the server's own, but for its pieces.

    A tiny random model never writes what a test is about.
    """

    def put(desk: Desk, text: str) -> None:
        def answer(route: Any) -> None:
            reply = route.fetch()
            events = [event for event in reply.text().split("\n\n") if event.startswith("data: ")]
            chunks = [json.loads(event[6:]) for event in events if event != "data: [DONE]"]
            pieces = [chunk for chunk in chunks if chunk["choices"][0]["delta"].get("content")]
            for chunk in pieces:
                chunk["choices"][0]["delta"]["content"] = ""
            pieces[0]["choices"][0]["delta"]["content"] = text
            lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
            route.fulfill(response=reply, body="".join(lines) + "data: [DONE]\n\n")

        desk.page.route("**/v1/chat/completions", answer)

    return put
