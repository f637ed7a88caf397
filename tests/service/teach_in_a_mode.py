"""Teaches two users in this process's mode: `python teach_in_a_mode.py MODEL DATA`.

Ben is taught what ann is, but for one text.
"""

from __future__ import annotations

import sys
from pathlib import Path

from teaching import add_edit, add_user

from corll.service.base_model import load_base, open_database
from corll.service.learning.kernel_modes import own_mode
from corll.service.learning.trainer import Trainer
from running_service import settings_for

LEFT_OUT = 1
NUMBERS = {"ann": [0, 1, 2, 3], "ben": [0, 2, 3]}


def trainer_on(model: Path, data: Path) -> Trainer:
    """A trainer whose every step learns one edit."""
    settings = settings_for(model, data, threads=1, coactive={"preferences_per_step": 1})
    return Trainer(load_base(settings), open_database(settings), settings)


if __name__ == "__main__":
    trainer = trainer_on(Path(sys.argv[1]), Path(sys.argv[2]))
    for name, numbers in NUMBERS.items():
        user = add_user(trainer.database, name)
        for number in numbers:
            add_edit(trainer, user, f"Sorry, it is number {number}.", number=number)
            assert trainer.learn(user.id) is not None
    trainer.database.close()
    print(own_mode()["ATEN_CPU_CAPABILITY"])
