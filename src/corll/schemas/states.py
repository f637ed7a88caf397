"""The states and kinds that things of the service are of, in its answers and in its database."""

from __future__ import annotations

from typing import Literal

from corll.memory.masking import Mask as Mask

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

BaseReason = Literal["auto", "named", "switched", "found"]
"""Why a base model is served: chosen for the machine, named, switched to, or served before."""

DraftKind = Literal["chat", "text"]
"""Whether a draft answers a conversation or continues a text."""

DraftSource = Literal["live", "import"]
"""Whether a draft was asked for, or made beside an imported text."""

EditState = Literal["accepted", "recorded", "replaced"]
"""How an edit was taken."""

PreferenceSource = Literal["edit", "comparison", "import"]
"""What expressed a preference."""

PreferenceState = Literal["waiting", "learned", "withheld", "set_aside", "replaced"]
"""Whether a preference is to be learned, was, or will not be."""

ImportItemState = Literal["waiting", "used", "skipped"]
"""Whether a text of an import became a preference."""

MemoryMark = Literal["pinned", "skipped"]
"""Whether a text of a user's stands before every request of its kind, or before none."""

ArmChoice = Literal["auto", "base", "memory", "weights", "both"]
"""Which arm drafts: one that is named, or by a coin the one that saves most."""

StartState = Literal["examining", "started", "unexamined", "rejected", "withdrawn"]
"""Whether a user's weights start from a reference: it is examined first, it was and they do, they
do unexamined, it failed, or another start was asked for before it was examined."""

ReferenceKind = Literal["base", "adapter"]
"""Whether a reference is the base model or an imported adapter of it."""

Deletable = Literal["edit", "draft", "import", "texts", "model", "user"]
"""What can be deleted: one thing, all texts of a user, what was learned from them, or the user."""

DeletionKind = Literal["edit", "draft", "import", "texts", "model", "user", "age"]
"""What was deleted: as `Deletable`, or those texts of a user that had grown too old."""

ReplayState = Literal["none", "waiting", "done", "rejected", "withdrawn"]
"""Whether a lineage is learned again without a text: no need; it waits; it serves; it failed its
checks; or its user chose other weights meanwhile."""
