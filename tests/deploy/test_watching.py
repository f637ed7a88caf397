"""The Grafana board and the alerts ask for metrics that there are, by labels that these have."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any, NamedTuple, get_args

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from corll.schemas.states import DraftStatus, EditState, LearnerState, VersionState
from corll.service.learning.health import Health
from corll.service.metrics import Metrics
from documents import ROOT

BOARD = ROOT / "deploy" / "grafana" / "corll.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
SERVING = ROOT / "docs" / "serving.md"

PROMETHEUS_OWN = {"up": {"job", "instance"}}
ADDED_BY_PROMETHEUS = {"job", "instance"}
FUNCTIONS = {"sum", "max", "rate", "increase", "histogram_quantile", "avg_over_time"}
WORDS = {"by", "and", "on", "unless"}
VALUES = {
    ("corll_learner_state", "state"): set(get_args(LearnerState)),
    ("corll_drafts_total", "status"): set(get_args(DraftStatus)),
    ("corll_edits_total", "state"): set(get_args(EditState)),
    ("corll_learner_versions_total", "state"): set(get_args(VersionState)),
    ("corll_edit_cost", "drafted_by"): {"base", "version", "held_back", "upstream"},
}
"""What the labels of a family can be."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"[^"]*")|(?P<range>\[(?:\d+[smhd]|\$__rate_interval)\])
    |(?P<number>\d+(?:\.\d+)?)|(?P<name>[a-zA-Z_:][\w:]*)|(?P<sign>=~|!~|!=|==|>=|<=|[-+*/<>=(){},]))""",
    re.VERBOSE,
)


class Token(NamedTuple):
    kind: str
    text: str


def tokens(expression: str) -> list[Token]:
    """The words and signs of an expression; an error where something is neither."""
    found, at, text = [], 0, expression.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None, f"{text[at:]!r} is no PromQL that this test knows"
        kind = str(match.lastgroup)
        found.append(Token(kind, match[kind]))
        at = match.end()
    return found


def samples() -> dict[str, set[str]]:
    """The labels of each sample that a server or a learner serves once everything has happened."""
    metrics: Any = Metrics()
    metrics.watch(
        under_way=lambda: 0.0,
        drafts_waiting=lambda: 0.0,
        waiting=lambda: 0.0,
        lag=lambda: 0.0,
        learner=lambda: "ready",
    )
    health: Any = Health(waiting=list)
    found: dict[str, set[str]] = {}
    for served in (metrics, health):
        for name, value in vars(served).items():
            if hasattr(value, "_labelnames") and value._labelnames:
                value.labels(*["a"] * len(value._labelnames))
            assert served is health or not callable(value), name
        for family in text_string_to_metric_families(served.exposition().decode()):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return {name: labels for name, labels in found.items() if not name.endswith("_created")}


SAMPLES = samples()
SUFFIX = re.compile(r"_(bucket|sum|count)$")


def check(expression: str) -> set[str]:
    """Check an expression as far as it can be without Prometheus; return its samples."""
    found = tokens(expression)
    brackets: list[str] = []
    asked: set[str] = set()
    metric, in_selector, in_grouping = "", False, False
    for token, after in pairwise([*found, Token("end", "")]):
        if token.text in "({" and token.kind == "sign":
            brackets.append(token.text)
            in_selector = token.text == "{"
        elif token.text in ")}" and token.kind == "sign":
            assert brackets.pop() == {")": "(", "}": "{"}[token.text], expression
            in_selector = in_grouping = False
        elif token.kind == "name" and token.text in ("by", "on"):
            assert after.text == "(", expression
            in_grouping = True
        elif token.kind == "name" and in_grouping:
            assert token.text in set().union(ADDED_BY_PROMETHEUS, *SAMPLES.values()), token.text
        elif token.kind == "name" and in_selector:
            labels = {**PROMETHEUS_OWN, **SAMPLES}[metric] | ADDED_BY_PROMETHEUS
            assert token.text in labels, f"{metric} has no label {token.text}"
        elif token.kind == "name" and after.text == "(":
            assert token.text in FUNCTIONS | WORDS, token.text
        elif token.kind == "name" and token.text not in FUNCTIONS | WORDS:
            metric = token.text
            assert metric in {**PROMETHEUS_OWN, **SAMPLES}, f"there is no metric {metric}"
            asked.add(metric)
    assert brackets == []
    for name, selector in re.findall(r"(\w+)\{([^}]*)\}", expression):
        for label, value in re.findall(r'(\w+)="([^"]*)"', selector):
            known = VALUES.get((SUFFIX.sub("", name), label))
            assert known is None or value in known, f"{label} of {name} is never {value}"
    return asked


def panels() -> list[dict[str, Any]]:
    board = json.loads(BOARD.read_text(encoding="utf-8"))
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return list(group["rules"])


def test_the_board_is_one_that_grafana_imports() -> None:
    board = json.loads(BOARD.read_text(encoding="utf-8"))
    assert board["schemaVersion"] >= 36
    assert {"title", "uid", "panels", "templating", "time"} <= board.keys()
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    variables = {one["name"] for one in board["templating"]["list"]}
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["targets"]
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(board))) - {"__rate_interval"}
    assert used <= variables


def test_no_panels_of_the_board_lie_over_each_other() -> None:
    board = json.loads(BOARD.read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_each_panel_asks_for_what_there_is(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        expression = target["expr"].replace('"$job"', '"corll"')
        assert check(expression)
        grouped = {
            label.strip()
            for by in re.findall(r"by \(([^)]*)\)", expression)
            for label in by.split(",")
        }
        shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert shown <= grouped


def test_every_metric_is_on_the_board() -> None:
    asked = {
        name
        for panel in panels()
        for one in panel["targets"]
        for name in check(one["expr"].replace('"$job"', '"corll"'))
    }
    families = {SUFFIX.sub("", name) for name in SAMPLES}
    assert families - {SUFFIX.sub("", name) for name in asked} == set()


def test_every_metric_that_the_source_names_is_known_here() -> None:
    named: set[str] = set()
    for path in (ROOT / "src" / "corll").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "prometheus_client" in text:
            named |= set(re.findall(r'"(corll_\w+)"', text))
    assert len(named) > 10
    families = {SUFFIX.sub("", name).removesuffix("_total") for name in SAMPLES}
    assert named - families == set()


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_each_alert_asks_for_what_there_is_and_says_how_to_act(alert: dict[str, Any]) -> None:
    assert check(alert["expr"])
    assert re.search(r"[<>=]=? ", alert["expr"]), "an alert compares with a figure"
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert {"summary", "act"} == alert["annotations"].keys()


def test_the_guide_explains_each_alert() -> None:
    explained = re.findall(
        r"^\| `(Corll\w+)` \|", SERVING.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert explained == [alert["alert"] for alert in alerts()]


@pytest.mark.parametrize(
    "expression",
    [
        "sum(corll_drafts)",  # a counter's sample has _total
        "sum by (stat) (corll_drafts_total)",
        'corll_drafts_total{state="complete"}',
        'corll_drafts_total{status="done"}',
        "summe(corll_drafts_total)",
        "sum(corll_drafts_total",
        "sum(corll_drafts_total}",
        "sum(corll_drafts_total) ; 1",
        "rate(corll_drafts_total[5 minutes])",
    ],
)
def test_what_is_no_query_is_noticed(expression: str) -> None:
    with pytest.raises((AssertionError, IndexError)):
        check(expression)
