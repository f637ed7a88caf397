"""A process that records edits from several threads, and kills itself after some were acknowledged.

Arguments: the database's URL or "", the data folder, after how many acknowledgements to die.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from store_samples import add_user, edit, kept_draft

from corll.service.store.database import Database
from corll.service.store.writer import Writer


def main(url: str, data_dir: str, acknowledged: int) -> None:
    """Prints the id of each edit once its future has resolved."""
    database = Database.open(url or None, data_dir)
    writer = Writer(database)
    user = database.write(add_user)
    lock, count = threading.Lock(), 0

    def work() -> None:
        nonlocal count
        while True:
            recorded = writer.submit(lambda db: edit(db, kept_draft(db, user), "Hi")).result()
            with lock:
                os.write(1, f"{recorded.id}\n".encode())
                count += 1
                if count == acknowledged:
                    os.kill(os.getpid(), signal.SIGKILL)

    for _ in range(4):
        threading.Thread(target=work).start()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
