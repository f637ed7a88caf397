"""What stands before a request: worked examples, where a frame says what is wanted."""

from __future__ import annotations

from corll.frames import Framing
from corll.memory.examples import worked_examples
from corll.memory.exchanges import Exchange
from corll.service.settings import ServiceSettings


def memory_of(framing: Framing, settings: ServiceSettings) -> tuple[Exchange, ...]:
    """Return the exchanges that stand before a request in a frame."""
    return worked_examples(framing) if settings.examples else ()
