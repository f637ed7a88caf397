"""The panels: the paper's (1a to 2e), and those that it lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from corll.laboratory.arms import BRADLEY_TERRY, DEFAULT_ARM, DUELING, FACTORIAL, has_memory
from corll.laboratory.figures.curves import NO_EXPERT, DrawnFigure, View, draw_curves
from corll.laboratory.figures.factorial import draw_factorial
from corll.laboratory.figures.frontier import draw_frontier
from corll.laboratory.figures.style import sort_arms, write_figure
from corll.laboratory.statistics import Line, by_rate


class Draw(Protocol):
    """A function that draws some arms, or returns None where there is nothing to draw."""

    def __call__(
        self,
        lines: Sequence[Line],
        arms: Sequence[str],
        views: Sequence[View],
        *,
        title: str,
        expert: Mapping[str, float] = ...,
    ) -> DrawnFigure | None: ...


@dataclass(frozen=True)
class Panel:
    """A figure that can be drawn from evaluation lines.

    `selects` says which arms the panel is about; `baselines` are drawn beside those where they
    exist. `tasks` are those that the panel is about, or None for any; `min_arms` is how many of its
    own arms a comparison takes.
    """

    name: str
    title: str
    caption: str
    views: tuple[View, ...]
    selects: Callable[[str], bool]
    baselines: tuple[str, ...] = ()
    tasks: tuple[str, ...] | None = None
    draw: Draw = draw_curves
    min_arms: int = 1

    def arms(self, lines: Iterable[Line]) -> list[str]:
        """List the arms that the panel is drawn from, in order; none where its own are too few."""
        fitting = [line for line in lines if self.tasks is None or line["task"] in self.tasks]
        there = {line["arm"] for line in fitting}
        own = {arm for arm in there if self.selects(arm)}
        enough = len(own) >= self.min_arms
        return sort_arms(own | (there & set(self.baselines))) if enough else []


def draw_all(
    lines: Sequence[Line],
    folder: Path,
    *,
    command: str,
    expert: Mapping[str, float] = NO_EXPERT,
    trials: Sequence[Line] = (),
) -> list[Path]:
    """Draw each panel that has arms of its own: `fig-1a.png`, `.svg`, and `.json`.

    `expert` has the expert's own value of metrics, which is drawn across (`levels_of`). `trials`
    are the lines of cells at a rate that was given: `fig-objective-at-0.0003` has those of a rate
    at which arms were compared. The JSON holds what was drawn, and the command that made it.
    Return the paths written. *Raises*: RunFolderError where the folder cannot be written.
    """
    paths = []
    for panel, own in (*((panel, lines) for panel in PANELS.values()), *_at_one_rate(trials)):
        arms = panel.arms(own)
        if not arms:
            continue
        task, size = own[0]["task"], own[0]["size"]
        title = f"{task}-{size}: {panel.title}"
        drawn = panel.draw(own, arms, panel.views, title=title, expert=expert)
        if drawn is None:
            continue
        figure, content = drawn
        about = {"panel": panel.name, "title": panel.title, "caption": panel.caption}
        data = {**about, "task": task, "size": size, "command": command, **content}
        paths += write_figure(figure, data, folder / f"fig-{panel.name}")
    return paths


def levels_of(expert: Mapping[str, Any]) -> dict[str, float]:
    """Return the lines of an expert in figures, from what `expert.json` says of it.

    They are R* of its samples, and 0 for J less its own.
    """
    levels = {"objective_less_expert": 0.0}
    return levels | ({"reward": expert["reward"]} if "reward" in expert else {})


def _at_one_rate(trials: Sequence[Line]) -> Iterator[tuple[Panel, list[Line]]]:
    """Yield the panel of J for each rate that several arms ran at with several seeds, as a seed
    that rates were chosen on does not compare arms.
    """
    for rate, lines in by_rate(trials).items():
        seeds: dict[str, set[int]] = {}
        for line in lines:
            seeds.setdefault(line["arm"], set()).add(line["seed"])
        several = {arm for arm, own in seeds.items() if len(own) > 1}
        if len(several) < 2:
            continue
        panel = PANELS["objective"]
        yield (
            replace(
                panel,
                name=f"{panel.name}-at-{rate:g}",
                title=f"{panel.title}, every arm at the rate {rate:g}",
            ),
            [line for line in lines if line["arm"] in several],
        )


def _views(*metrics: str, against: str = "preferences") -> tuple[View, ...]:
    return tuple(View(metric, against) for metric in metrics)


def _one_of(*arms: str) -> Callable[[str], bool]:
    return frozenset(arms).__contains__


def _starts(*prefixes: str) -> Callable[[str], bool]:
    return lambda arm: arm.startswith(prefixes) and not has_memory(arm)


_NOISE = _one_of("coactive-minimal-drop", "coactive-minimal-anyway")
_QUALITIES = _starts("coactive-minimal-anyway", "coactive-alpha-", "coactive-best", "coactive-edit")
_MISLABELS = _starts("coactive-epsilon-")
_ARGMAX = _starts("coactive-k-")
_ONLINE = _one_of(*(arm for arm in FACTORIAL if arm.endswith("+online")))
_CONTRAST = _one_of(DEFAULT_ARM, "sft-edit")
_LEARNED = _starts(
    "coactive-minimal-anyway", DEFAULT_ARM, "mixed", "sft-edit", "offline", "temperature-"
)
_COMPARISONS = (DUELING, BRADLEY_TERRY, "dueling-best-worst")
_KINDS = _one_of(DEFAULT_ARM, "coactive-edit", "sft-edit", "mixed", "offline")
_COSTS = (View("reward", "sampled_tokens"), View("reward", "edited_characters"))

_NOISE_CAPTION = (
    "The least better redraw as the edit: where none is better the prompt is dropped (noise-free) "
    "or the best is given all the same (noisy). Dueling compares two samples without noise."
)


def _noise(name: str, metric: str, task: str) -> Panel:
    title = {"reward": "reward", "mislabelled": "mislabelled preferences"}[metric]
    return Panel(
        name, title, _NOISE_CAPTION, _views(metric), _NOISE, baselines=(DUELING,), tasks=(task,)
    )


_ALL = (
    _noise("1a", "reward", "tldr"),
    _noise("1b", "mislabelled", "tldr"),
    _noise("1c", "reward", "helpful"),
    _noise("1d", "mislabelled", "helpful"),
    _noise("reward", "reward", "imdb"),
    _noise("mislabelled", "mislabelled", "imdb"),
    Panel(
        "2a",
        "reward for several k",
        "The draft is the best of k samples by R_π. Of one sample a prompt (what was learned), and "
        "of the best of k by R_π with the same k in every arm (how it plays). IMDB's "
        "default arm has k = 9 at paper, 3 at mini and tiny.",
        _views("reward", "reward_argmax"),
        _ARGMAX,
        baselines=(DEFAULT_ARM, DUELING),
    ),
    Panel(
        "2b",
        "reward for several qualities of feedback",
        "From edits that are barely informative to always the best of the expert's samples.",
        _views("reward"),
        _QUALITIES,
        baselines=(DUELING,),
        min_arms=2,
    ),
    Panel(
        "2c",
        "the α of those edits",
        "α̂ = Σ gain / Σ (best − draft) over the rounds where the best is above the draft, and the "
        "share of the rounds that this leaves out. The best is that of the expert's samples, so "
        "that α̂ is too high.",
        _views("estimated_alpha", "left_out"),
        _QUALITIES,
        min_arms=2,
    ),
    Panel(
        "2d",
        "reward with mislabels on purpose",
        "With probability ε the edit is the best of the worse samples; the default arm has none.",
        _views("reward"),
        _MISLABELS,
        baselines=(DEFAULT_ARM, DUELING),
    ),
    Panel(
        "2e",
        "the share that is mislabelled",
        "The realised rate, which is not ε: some edits are worse than their draft by themselves.",
        _views("mislabelled"),
        _MISLABELS,
        baselines=(DEFAULT_ARM,),
    ),
    Panel(
        "contrast",
        "edits or comparisons?",
        "Coactive, dueling, and SFT on the same edits: the arms of the named contrast, each seed.",
        _views("reward"),
        _CONTRAST,
        baselines=(DUELING,),
        draw=partial(draw_curves, every_seed=True),
    ),
    Panel(
        "objective",
        "J, which the paper maximises",
        "E[R*] − β KL(π‖π₀) of what drafts are drawn from, less that of the expert's own sampler, "
        "which is 0; and the KL to π* that it is made of. A level learned nothing.",
        _views("objective_less_expert", "kl_to_expert"),
        _LEARNED,
        baselines=(*_COMPARISONS, "none"),
    ),
    Panel(
        "controls",
        "other ways to learn from feedback",
        "What the preference, the policy's own drafts, edits of the draft, and comparisons add. A "
        "dotted level is an arm that was measured only before learning.",
        _views("reward"),
        _KINDS,
        baselines=(*_COMPARISONS, "none"),
    ),
    Panel(
        "sample-cost",
        "reward for what it cost",
        "Against the tokens that the policy sampled for drafts, and against the characters that "
        "its users changed. A dotted level changed none; it is the last reward.",
        _COSTS,
        _KINDS,
        baselines=_COMPARISONS,
    ),
    Panel(
        "frontier",
        "reward for its distance from π₀",
        "Each evaluation by how far the policy had gone, and what it had won there: at the same KL "
        "kinds of feedback can be compared whatever their learning rates.",
        _views("reward"),
        _KINDS,
        baselines=_COMPARISONS,
        draw=draw_frontier,
    ),
    Panel(
        "factorial",
        "kind of edit × loss × whose drafts",
        "The area under the held-out reward in each cell: edits of the draft or fresh redraws of "
        "the expert, matched in gain. Small dots are seeds.",
        _views("reward"),
        _one_of(*FACTORIAL),
        baselines=(DUELING,),
        draw=draw_factorial,
    ),
    Panel(
        "factorial-cost",
        "kind of edit × loss for what it cost",
        "As sample-cost, for the cells of the factorial that learn from the policy's own drafts.",
        (View("reward"), *_COSTS),
        _ONLINE,
        baselines=(DUELING,),
    ),
    Panel(
        "memory",
        "what past texts in the prompt bring",
        "Drafts behind texts that were sent before, with learning and without it, beside arms "
        "without a memory. The reward of such drafts, and of the weights without the memory; how "
        "far drafts are from π₀ without a memory; how many texts stood before a held-out prompt.",
        _views("reward", "reward_alone", "kl", "memory_texts"),
        has_memory,
        baselines=(DEFAULT_ARM, DUELING, "none"),
    ),
    Panel(
        "ours",
        "what the paper does not show",
        "How well the best of k plays; what a preference gained; how far the drafts fall short of "
        "the best of the expert's samples; how often the premise of the proof, R_π(draft) ≥ "
        "R_π(edit), fails; how far the policy went, and how long its responses are.",
        _views("reward_argmax", "gain", "regret_estimate", "premise_violated", "kl", "length"),
        _KINDS,
        baselines=(DUELING,),
    ),
)

PANELS: dict[str, Panel] = {panel.name: panel for panel in _ALL}
"""All panels by name, in the order of a report."""
