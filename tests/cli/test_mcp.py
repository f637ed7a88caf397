"""`corll mcp` by the official client, over standard input and output, on a real service."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from running_service import ADMIN_KEY, RunningService, free_port, running_service, settings_for

mcp: Any = pytest.importorskip("mcp", reason="the package mcp is not installed (extra `mcp`)")

SERVER = ["-c", "from corll.cli import main; raise SystemExit(main())", "mcp"]


@pytest.fixture(scope="module")
def service(
    tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("mcp")
    with running_service(settings_for(tiny_model_folder, folder, learn=False)) as running:
        yield running


def parameters(url: str, *flags: str) -> Any:
    """How a host is told to start the server."""
    environment = {"CORLL_API_KEY": ADMIN_KEY, "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [*SERVER, "--base-url", url, *flags]
    return mcp.StdioServerParameters(command=sys.executable, args=arguments, env=environment)


def test_an_agent_drafts_teaches_and_looks_back(service: RunningService) -> None:
    async def use() -> None:
        async with mcp.Client(parameters(service.url, "--user", "anna")) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == {"draft", "send_edit", "my_drafts"}
            assert set(tools["send_edit"].input_schema["required"]) == {"draft_id", "text"}

            asked = "The parcel is late."
            await client.call_tool("draft", {"request": asked})  # makes the user
            service.put("users/anna/consent", {"store": True, "learn": True})
            draft = (await client.call_tool("draft", {"request": asked})).structured_content
            given = {"draft_id": draft["draft_id"], "text": "It comes on Friday."}
            edit = (await client.call_tool("send_edit", given)).structured_content
            assert (edit["will_learn"], edit["accepted"], edit["reason"]) == (True, False, None)
            assert service.get(f"edits/{edit['edit_id']}")["draft_id"] == draft["draft_id"]

            found = (await client.call_tool("my_drafts", {"limit": 1})).structured_content
            (last,) = found["drafts"]
            assert last["draft_id"] == draft["draft_id"]
            assert (last["prompt"], last["text"]) == (asked, draft["text"])
            assert last["sent"].strip() == "It comes on Friday."

    asyncio.run(use())


def test_what_the_service_refuses_is_told_in_its_words(service: RunningService) -> None:
    async def use() -> None:
        async with mcp.Client(parameters(service.url, "--user", "bea")) as client:
            given = {"draft_id": "chatcmpl-none", "text": "Hello"}
            refused = await client.call_tool("send_edit", given)
            assert refused.is_error
            assert "There is no such draft" in refused.content[0].text

    asyncio.run(use())


def test_a_service_that_is_away_is_said(tmp_path: Path) -> None:
    async def use() -> None:
        url = f"http://127.0.0.1:{free_port()}"
        async with mcp.Client(parameters(url)) as client:
            refused = await client.call_tool("draft", {"request": "Hello"})
            assert refused.is_error
            assert "corll serve" in refused.content[0].text

    asyncio.run(use())


def test_without_a_key_it_says_what_to_do() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "CORLL_API_KEY"}
    done = subprocess.run(
        [sys.executable, *SERVER], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "CORLL_API_KEY" in done.stderr
    assert done.stdout == ""
