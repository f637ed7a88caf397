"""`corll mcp`: an MCP server over standard input and output, by which an agent drafts and teaches.

It computes nothing itself: it is a client of a running service.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from corll.cli.parsing import parse
from corll.cli.settings import OptionalName
from corll.client import DEFAULT_BASE_URL
from corll.configuring import Config
from corll.errors import ConfigError
from corll.version import __version__

if TYPE_CHECKING:
    from corll_client import Corll

_INSTRUCTIONS = (
    "Drafts in the user's own style, by a model that learns from the user's corrections. Draft "
    "with `draft` and show the user the whole text. When they have corrected it, or taken it as it "
    "is, call `send_edit` with the text as it is sent: from the difference the model learns."
)


class McpSettings(Config):
    """Let an agent draft and teach by MCP, over standard input and output.

    Its tools are draft, send_edit and my_drafts. The key is read from the variable CORLL_API_KEY.
    """

    base_url: OptionalName = Field(
        None,
        description=f"Where the service answers; by default CORLL_BASE_URL or {DEFAULT_BASE_URL}.",
    )
    user: OptionalName = Field(
        None, description="For whom it speaks; by default the key's own user."
    )


class ShownDraft(BaseModel):
    """A draft to be shown to the user."""

    draft_id: str = Field(description="Its id, by which send_edit names it.")
    text: str = Field(description="What to show.")


class TakenEdit(BaseModel):
    """What becomes of a correction."""

    edit_id: str = Field(description="Its id.")
    accepted: bool = Field(description="Whether the draft was sent as it was.")
    will_learn: bool = Field(description="Whether the model learns from it.")
    reason: str | None = Field(description="Why it does not.")


class PastDraft(BaseModel):
    """A draft of before."""

    draft_id: str = Field(description="Its id.")
    prompt: str = Field(description="What was asked.")
    text: str = Field(description="What was drafted.")
    sent: str | None = Field(description="What was sent in its place; null: nothing yet.")


class PastDrafts(BaseModel):
    """Drafts of before, the newest first."""

    drafts: list[PastDraft] = Field(description="The drafts.")


Query = Annotated[str | None, Field(description="A word that the draft, prompt or edit holds.")]


class Tools:
    """What the agent can call."""

    def __init__(self, client: Corll, user: str | None) -> None:
        self._client, self._user = client, user

    def draft(
        self, request: Annotated[str, Field(description="What to write, with all facts.")]
    ) -> ShownDraft:
        """Draft a text for the user, in the style that their corrections taught."""
        messages: Any = [{"role": "user", "content": request}]
        named: Any = {} if self._user is None else {"safety_identifier": self._user}
        with _told():
            reply = self._client.chat.completions.create(model="corll", messages=messages, **named)
        return ShownDraft(draft_id=reply.id, text=reply.choices[0].message.content or "")

    def send_edit(
        self,
        draft_id: Annotated[str, Field(description="The id that `draft` returned.")],
        text: Annotated[str, Field(description="The whole text as the user sends it.")],
    ) -> TakenEdit:
        """Say what the user made of a draft, so that later drafts need less correction."""
        with _told():
            edit = self._client.edits.create(draft_id=draft_id, text=text)
        return TakenEdit(
            edit_id=edit.id, accepted=edit.accepted, will_learn=edit.will_learn, reason=edit.reason
        )

    def my_drafts(
        self,
        query: Query = None,
        limit: Annotated[int, Field(ge=1, le=100, description="How many at most.")] = 10,
    ) -> PastDrafts:
        """List the user's drafts with what was sent, the newest first."""
        with _told():
            found = self._client.drafts.list(user=self._user, query=query, limit=limit).data
        return PastDrafts(
            drafts=[
                PastDraft(
                    draft_id=one.id,
                    prompt=one.prompt if isinstance(one.prompt, str) else one.prompt[-1].content,
                    text=one.choices[0].text,
                    sent=one.edits[-1].text if one.edits else None,
                )
                for one in found
            ]
        )


@contextmanager
def _told() -> Iterator[None]:
    """Tell the agent what the service refuses, in the service's words."""
    import openai
    from mcp.server.mcpserver.exceptions import ToolError

    try:
        yield
    except openai.APIConnectionError as error:
        raise ToolError("The service does not answer; start it with `corll serve`.") from error
    except openai.APIStatusError as error:
        body = error.body if isinstance(error.body, dict) else {}
        raise ToolError(f"The service says: {body.get('message') or error}") from error
    except ConfigError as error:
        raise ToolError(str(error)) from error


def main(arguments: Sequence[str]) -> None:
    settings = parse(McpSettings, arguments, command="mcp")
    try:
        from mcp.server import MCPServer

        from corll_client import Corll
    except ImportError as error:
        raise ConfigError(
            "`corll mcp` needs the packages mcp and openai: pip install -e '.[mcp]' in the clone."
        ) from error
    with Corll(base_url=settings.base_url) as client:
        server = MCPServer("corll", instructions=_INSTRUCTIONS, version=__version__)
        tools = Tools(client, settings.user)
        for tool in (tools.draft, tools.send_edit, tools.my_drafts):
            server.add_tool(tool)
        server.run("stdio")
