"""vLLM as a `Sampler`: it draws on rows of ids, and scores nothing that is learned from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from corll.compute.decoding import Branch
from corll.compute.packing import Ids
from corll.config import SamplingConfig
from corll.service.drafting.vllm_calls import Drawing, Replicas


class VllmSampler:
    """Draws by the version `name`, or by the base where it is None.

    The branches have no `logprob`: the engine's are near to ours, not equal (0.04 nats a response
    were seen), and what is learned from is scored by the weights that learn. *Units*: `timeout` in
    seconds.
    """

    def __init__(
        self,
        urls: Sequence[str],
        end_ids: Ids,
        *,
        name: str | None = None,
        salt: str | None = None,
        timeout: float = 120.0,
    ) -> None:
        self._urls, self._end_ids, self._timeout = tuple(urls), end_ids, timeout
        self._name, self._salt = name, salt

    def continuations(
        self,
        beginnings: Sequence[Ids],
        num_samples: int,
        max_new_tokens: int,
        seeds: Sequence[int],
        *,
        sampling: SamplingConfig,
    ) -> list[list[Branch]]:
        """Return `num_samples` branches for each beginning, all beginnings at the same time.

        *Raises*: UpstreamError.
        """
        drawings = [
            Drawing(
                self._name,
                tuple(ids),
                num_samples,
                max_new_tokens,
                seed,
                sampling,
                self._end_ids,
                salt=self._salt,
            )
            for ids, seed in zip(beginnings, seeds, strict=True)
        ]
        return asyncio.run(self._draw(drawings))

    async def _draw(self, drawings: Sequence[Drawing]) -> list[list[Branch]]:
        replicas = Replicas(self._urls, self._timeout)
        try:
            rows = await asyncio.gather(*(replicas.draw(drawing) for drawing in drawings))
        finally:
            await replicas.close()
        return [[Branch(one.token_ids, None, one.finished) for one in row] for row in rows]
