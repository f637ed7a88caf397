"""The size of a model of the Llama and Qwen families, by the numbers of its configuration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A decoder of the Llama family. *Source*: each model's `config.json`.

    `inner` is the feed-forward size and `kv_heads` the heads of keys and values; `biased` says that
    queries, keys and values have biases, `tied` that the output layer is the embedding.
    """

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    vocab: int
    head_dim: int = 64
    biased: bool = False
    tied: bool = True

    @property
    def parameters(self) -> int:
        """Count the weights."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = 2 * self.hidden * queries + 2 * self.hidden * keys
        attention += self.biased * (queries + 2 * keys)
        layer = attention + 3 * self.hidden * self.inner + 2 * self.hidden
        embeddings = self.vocab * self.hidden * (1 if self.tied else 2)
        return self.layers * layer + embeddings + self.hidden

    @property
    def read_each_token(self) -> int:
        """Count the weights that a new token reads: all but an embedding that is no output."""
        return self.parameters - (0 if self.tied else self.vocab * self.hidden)

    def adapter_parameters(self, rank: int) -> int:
        """Count LoRA's weights on all linear layers: rank · (inputs + outputs)."""
        sizes = self.heads * self.head_dim, self.kv_heads * self.head_dim, self.inner
        return rank * self.layers * adapted_widths(self.hidden, *sizes)


def adapted_widths(hidden: int, queries: int, keys: int, inner: int) -> int:
    """Return inputs + outputs of a block's linear layers in all: q, k, v, o, gate, up and down.

    `queries` and `keys` are the sizes of all their heads together. LoRA of rank 1 has as many
    weights.
    """
    return 2 * (hidden + queries) + 2 * (hidden + keys) + 3 * (hidden + inner)
