"""Pictures of each page for the documents, with the embedded model, for CORLL_SCREENSHOTS=1."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from writing_desk import Desk

from corll.errors import ModelNotFoundError
from corll.model.loading import EMBEDDED_MODEL, locate
from corll.records import Draft, Sample
from corll.service.settings import ServiceSettings
from corll.simulation.letter import LetterEditor
from corll.simulation.writing_prompts import own_words, writing_prompts
from running_service import ADMIN_KEY, RunningService, running_service, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(
        os.environ.get("CORLL_SCREENSHOTS") != "1", reason="CORLL_SCREENSHOTS=1 makes the pictures"
    ),
]

PICTURES = Path(__file__).parents[2] / "docs" / "desk"
USER = "anna"
EDITS = int(os.environ.get("CORLL_SCREENSHOT_EDITS", "48"))
SHORT, ANOTHER = 50, 4
"""Two sentences were asked for: of a draft with more words than that another is asked for."""


@pytest.fixture(scope="module")
def taught(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that learned from a writer of letters."""
    try:
        locate(EMBEDDED_MODEL)
    except ModelNotFoundError as error:
        pytest.skip(str(error))
    settings = ServiceSettings(
        data_dir=tmp_path_factory.mktemp("pictures"),
        admin_key=ADMIN_KEY,
        log_level="warning",
        requests_per_minute=100_000,
    )
    with running_service(settings) as service:
        service.draft(user=USER, max_tokens=1)
        service.put(f"users/{USER}/consent", {"learn": True})
        editor = LetterEditor(own_words=own_words())
        for number, prompt in enumerate(writing_prompts("train")[:EDITS]):
            reply = service.draft(prompt, user=USER, seed=number)
            text = reply["choices"][0]["message"]["content"]
            better = editor.edit(Draft(prompt, (Sample(text, (0,), None, True),)))
            sent = text if better is None else better
            service.post("edits", {"draft_id": reply["id"], "text": sent})
            until(lambda: service.get(f"users/{USER}")["waiting"] < 8, within=900)
        until(lambda: service.get(f"users/{USER}")["waiting"] < 2, within=900)
        yield service


def test_pictures_of_every_page(taught: RunningService, browser: Callable[..., Any]) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        page = browser(color_scheme=scheme, device_scale_factor=1.5).new_page()
        page.context.set_default_timeout(120_000)
        desk = Desk(page, taught, USER)
        desk.follow(desk.link())
        fix_a_draft(desk)
        picture(desk, "desk", scheme)
        if scheme == "dark":
            return
        for name in ("learning", "data", "welcome"):
            desk.open(f"/{name}")
            page.wait_for_timeout(1500)
            if name == "data":
                page.locator(".records > details > summary").nth(1).click()
                page.evaluate("scrollTo(0, 0)")
            picture(desk, name, scheme)


def fix_a_draft(desk: Desk) -> None:
    draft = desk.draft(writing_prompts("held_out", "complaint_reply")[0])
    for _ in range(ANOTHER):
        if len(draft.split()) <= SHORT:
            break
        draft = desk.another_draft()
    better = draft.replace("Hello", "Good morning").replace("I'm", "I am").replace("!", ".")
    body = better.replace("very ", "").replace("really ", "").rstrip()
    while body.endswith(",") and "\n" in body:  # a closing that is not Anna's
        body = body[: body.rindex("\n")].rstrip()
    desk.write(f"{body}\n\nKind regards,\nAnna")
    desk.page.wait_for_timeout(800)


def picture(desk: Desk, name: str, scheme: str) -> None:
    suffix = "" if scheme == "light" else f"-{scheme}"
    desk.page.screenshot(path=PICTURES / f"{name}{suffix}.png")
