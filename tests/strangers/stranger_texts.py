"""Small valid files of texts, as mail programs and spreadsheets write them, to be changed."""

from __future__ import annotations

from pathlib import Path

LOGS = Path(__file__).parents[1] / "edit_logs" / "files"
"""Logs of edits of other tools, by their form."""

ME = ["anna@example.org"]
MBOX = b"""From eve@example.org Mon Nov 30 10:00:00 2026
From: Eve <eve@example.org>
To: anna@example.org
Message-ID: <1@example.org>
Subject: =?utf-8?q?Where_is_it=3F?=
Content-Type: multipart/alternative; boundary="b"

--b
Content-Type: text/plain; charset="utf-8"; format=flowed; delsp=yes
Content-Transfer-Encoding: quoted-printable

Where is the par=
cel?
--b
Content-Type: text/html; charset=utf-8

<p>Where is the <b>parcel</b>?</p><blockquote>Soon.</blockquote>
--b--

From anna@example.org Mon Nov 30 11:00:00 2026
From: "Anna" <anna@example.org>
Message-ID: <2@example.org>
In-Reply-To: <1@example.org>
References: <0@example.org> <1@example.org>
Content-Type: text/plain

It comes on Friday.

On Mon, Nov 30, 2026 at 10:00 Eve wrote:
> Where is the parcel?
--\x20
Anna
"""
TABLE = b'prompt;sent;draft\n"Is it in\nstock?";It is.;\nWhen?;"On ""Friday"".";Soon\n'
LINES = b"""{"prompt": "In stock?", "sent": "It is.", "draft": null}
{"prompt": [{"role": "user", "content": "When?"}], "sent": "On Friday."}
"""
EXAMPLES = {"mail.mbox": MBOX, "texts.csv": TABLE, "texts.jsonl": LINES}
