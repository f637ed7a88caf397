"""Expressions for layers' names: ordinary ones are taken, hostile ones are refused at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from corll.errors import AdapterError
from corll.model.name_patterns import _Count, _Reader, check_patterns
from corll.policy import Policy

LAYERS = ["self_attn.q_proj", "self_attn.v_proj", "mlp.gate_proj", "input_layernorm"]
NAMES = [
    "",
    "model",
    "lm_head",
    *(f"model.layers.{n}.{name}" for n in range(32) for name in LAYERS),
]

ORDINARY: list[dict[str, Any]] = [
    {"target_modules": ("q_proj", "v_proj")},
    {"target_modules": "all-linear", "exclude_modules": ["lm_head"]},
    {"target_modules": r".*\.(q_proj|v_proj)"},
    {"target_modules": r"model\.layers\.\d+\.self_attn\.(?:q|k|v)_proj"},
    {"target_modules": r"^(?!.*(lm_head|vision)).*\.layers\.([0-9]|1[0-5])\..*_proj$"},
    {
        "target_modules": r"(?:.*?(?:language|text|model).*?(?:self_attn|attention|mlp).*?"
        r"(?:q_proj|k_proj|v_proj|o_proj).*?)|(?:\bmodel\.layers\.[\d]{1,}\."
        r"(?:self_attn|mlp)\.(?:(?:q_proj|v_proj)))"
    },
    {"rank_pattern": {f"layers.{n}.self_attn.q_proj": n for n in range(100)}},
    {"rank_pattern": {r"^model\.layers\.[01]\..*": 2}, "alpha_pattern": {"v_proj": 9}},
    {"layers_to_transform": [0], "layers_pattern": ["layers", "h"]},
]

HOSTILE = [
    r"(a|[a-z_.])+$|(.*)*x",
    r"([a-z_.0-9]+)*x",
    r"((((.*)*)*)*)*x",
    r"(.|.|.)*x",
    r".*.*.*.*.*.*x",
    "(.?)" * 40 + "x",
    r".?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?x{30}",
    "(m|.)(o|.)(d|.)(e|.)(l|.)" + "(.|.)" * 20,
    r"(?=(.+)+x).*",
    r"(.{1,9}){1,9}x",
    r"(.*)\1\1\1x",
    r"(?i)model.*",
    "(a)" * 334,
    "(" * 400 + ")" * 400,
    "(unclosed",
    r"(?:a{1000000}){1000000}b|(.*)*",
]


@pytest.mark.parametrize("fields", ORDINARY, ids=str)
def test_ordinary_names_are_taken(fields: dict[str, Any]) -> None:
    check_patterns(fields, NAMES)


@pytest.mark.parametrize("pattern", HOSTILE)
@pytest.mark.parametrize(
    "field",
    ["target_modules", "exclude_modules", "rank_pattern", "alpha_pattern", "layers_pattern"],
)
def test_hostile_ones_are_refused(field: str, pattern: str) -> None:
    value: Any = {pattern: 3} if field in ("rank_pattern", "alpha_pattern") else pattern
    if field == "layers_pattern" and not pattern.startswith("("):
        value = [value]
    with pytest.raises(AdapterError, match=f"The adapter's {field} cannot be tried"):
        check_patterns({field: value}, NAMES)


def test_more_names_than_modules_are_refused() -> None:
    most = {f"layer.{n}": 1 for n in range(len(NAMES))}
    check_patterns({"rank_pattern": most}, NAMES)
    with pytest.raises(AdapterError, match="name each once"):
        check_patterns({"rank_pattern": {**most, "another": 1}}, NAMES)


@pytest.mark.parametrize("value", [3, [1], {"q_proj": 1}["q_proj"], [["q_proj"]]])
def test_what_names_nothing_is_refused(value: Any) -> None:
    with pytest.raises(AdapterError, match="has to name layers"):
        check_patterns({"rank_pattern": value}, NAMES)


@pytest.mark.parametrize(
    "pattern",
    [
        r".*\.(q|v)_proj",
        r"mo?del",
        r"[^.]*",
        r"(?:.*\.)?[a-z]{2}_head",
        r"\w+(\.\w+)?",
        r"model(\.[^.]+){2}",
        r".{5}",
        r".{0,5}",
        r"(a|model|)",
        r"lm[-_]head",
        r"model.{,40}j",
    ],
)
def test_the_ways_that_are_counted_lead_where_matches_end(pattern: str) -> None:
    whole = _Reader(pattern).read()
    for name in NAMES:
        ends = whole(name, {0: 1}, _Count(1 << 20))
        assert (len(name) in ends) == bool(re.fullmatch(pattern, name)), name


@pytest.mark.parametrize("used_as", ["adapter", "reference", "beside", "restored"])
def test_an_adapter_with_a_hostile_pattern_is_refused(
    tiny_model_folder: Path, tmp_path: Path, used_as: str
) -> None:
    policy = Policy.load(tiny_model_folder, dtype="float32")
    policy.save(tmp_path)
    path = tmp_path / "adapter_config.json"
    saved = json.loads(path.read_text())
    path.write_text(json.dumps(saved | {"rank_pattern": {"([a-z_.0-9]+)*x": 3}}))
    use: dict[str, Callable[[], object]] = {
        "adapter": lambda: Policy.load(tiny_model_folder, adapter=tmp_path),
        "reference": lambda: Policy.load(tiny_model_folder, reference=tmp_path),
        "beside": lambda: policy.with_adapter(tmp_path),
        "restored": lambda: policy.restore(tmp_path),
    }
    with pytest.raises(AdapterError, match="rank_pattern cannot be tried"):
        use[used_as]()
