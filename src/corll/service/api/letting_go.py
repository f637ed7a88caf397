"""What a server's memory lets go of once something was deleted, here or at another server."""

from __future__ import annotations

from sqlalchemy import Connection

from corll.schemas.deletions import Receipt
from corll.service.api.services import Services
from corll.service.drafting import serving
from corll.service.versions.erased_copies import ErasedCopies
from corll.service.versions.forgetting import news_of


def let_go(services: Services, receipt: Receipt) -> None:
    """Let memory forget what was kept for speed: weights, beginnings of prompts, embeddings."""
    serving.let_go(services.drafter, [one.id for one in receipt.erased])
    if receipt.kind in ("texts", "user"):
        services.in_memory.forget(user_id=receipt.user)


def publish(services: Services, receipt: Receipt) -> None:
    """Tell browsers, and the engine, who serves now."""
    if (event := news_of(receipt)) is not None:
        services.events.publish(receipt.user, event)


class DeletionsElsewhere:
    """Lets go of what other servers of the same database deleted."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._copies = ErasedCopies(services.database)

    def let_go(self, db: Connection) -> None:
        """Let go of what was deleted since this was called last."""
        for receipt in [row.to_receipt() for row in self._copies.look(db)]:
            let_go(self._services, receipt)
            publish(self._services, receipt)
