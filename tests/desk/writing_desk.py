"""The writing desk as its user has it: what is on the page, by the names that are read aloud."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Protocol

_COPY = re.compile("^Copy( and learn)?$")


class Links(Protocol):
    """A service that makes links to sign in with."""

    url: str

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]: ...


@dataclass
class Desk:
    """One tab of one user."""

    page: Any
    service: Links
    user: str
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def link(self) -> str:
        """A link that signs the user in, once."""
        return self.service.url + str(self.service.post("links", {"user": self.user})["path"])

    def follow(self, link: str) -> None:
        self.page.goto(link)
        self.prompt.wait_for()

    def open(self, path: str) -> None:
        self.page.goto(self.service.url + path)
        self.page.get_by_role("heading", level=1).wait_for()

    def tab(self) -> Desk:
        """Another tab of the same browser, on the desk."""
        other = Desk(self.page.context.new_page(), self.service, self.user)
        other.open("/")
        return other

    @property
    def prompt(self) -> Any:
        return self.page.get_by_label("What are you answering?")

    @property
    def frame(self) -> Any:
        return self.page.get_by_label("This is")

    @property
    def hint(self) -> Any:
        return self.page.get_by_label("What shall it say?")

    @property
    def sign_as(self) -> Any:
        return self.page.get_by_label("Sign as")

    @property
    def editor(self) -> Any:
        return self.page.get_by_role("textbox", name="Your text")

    @property
    def said(self) -> Any:
        """What is said on the page and aloud."""
        return self.page.locator(".announcements")

    @property
    def quiet_line(self) -> Any:
        return self.page.locator(".quiet-line")

    @property
    def copy_button(self) -> Any:
        """By what it does here: it says whether the text teaches."""
        return self.page.get_by_role("button", name=_COPY)

    @property
    def note(self) -> Any:
        """What became of the text that was copied last."""
        return self.page.get_by_role("group", name="What was copied last")

    def button(self, name: str) -> Any:
        return self.page.get_by_role("button", name=name, exact=True)

    def draft(self, prompt: str = "The parcel is late.") -> str:
        """Asks for a draft, and waits until it is whole."""
        self.prompt.fill(prompt)
        self.button("Draft").click()
        return self.drafted()

    def another_draft(self) -> str:
        """Asks for another draft of the same, and waits until it is whole."""
        self.button("Another draft").click()
        return self.drafted()

    def drafted(self) -> str:
        self.copy_button.wait_for()
        return self.text()

    def text(self) -> str:
        """The user's text as it stands, without what is shown of the draft."""
        lines = self.page.locator(".cm-line").evaluate_all(
            """lines => lines.map(line => {
                const copy = line.cloneNode(true);
                copy.querySelectorAll("del").forEach(gone => gone.remove());
                return copy.textContent.replaceAll("\\u200b", "");
            })"""
        )
        return "\n".join(lines)

    def write(self, text: str) -> None:
        """Puts a text in place of what stands in the editor."""
        self.editor.click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(text)

    def copied(self) -> str:
        text: str = self.page.evaluate("navigator.clipboard.readText()")
        return text

    def kept(self) -> dict[str, str]:
        """What the browser keeps of texts."""
        kept: dict[str, str] = self.page.evaluate("({...localStorage})")
        return kept
