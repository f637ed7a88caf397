"""The states that things of the service are in, by the names that answers call them."""

from __future__ import annotations

from typing import Literal

FeedbackState = Literal["accepted", "recorded", "learned", "serving", "set_aside", "replaced"]
"""How far an edit or a comparison has come: recorded, then learned, then serving."""

VersionState = Literal["candidate", "serving", "retired", "rejected"]
"""Whether a version drafts, drafted once, or failed its checks."""

ImportState = Literal["waiting", "running", "done", "failed"]
"""How far an import has come."""

LearnerState = Literal["off", "starting", "ready", "down"]
"""How the learner is."""

DraftStatus = Literal["complete", "cancelled"]
"""Whether a draft was drawn to its end."""

KeyScope = Literal["admin", "backend", "user"]
"""What a key may do: everything, all of its own users, or one user."""
