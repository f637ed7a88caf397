"""A dry run: what an experiment would cost, from its settings alone, in tokens, memory and hours.

No weights are needed. Responses are taken to be as long as they may be, and each arm to cost what
the default arm does (k drafts, l redraws). Arms with more candidates (`coactive-k-9` of a small
size) or with rewritings cost more. Loading, data and the classifier are left out.

Floating-point operations (Kaplan et al. 2020, section 2.1): 2 for each parameter and token forward,
for a multiplication and an addition; 2 more backward, for gradients of what flows through the
weights; and 2 more for gradients of the weights, which the frozen base of an adapter does not have
(Hu et al. 2022). Embeddings are counted as if they were products. Attention itself (2 · layers ·
context · hidden, 1 % at the lengths here) is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from corll.laboratory.shapes import MACHINES, Machine, ModelShape
from corll.laboratory.sizes import Experiment
from corll.laboratory.workload import ExpertWork, Workload
from corll.model.memory import activation_bytes_per_token, branches_within, cache_bytes_per_token

_GIB = 2**30


@dataclass(frozen=True)
class Tokens:
    """The tokens of some work, by what is done with them; each is a pass of one token.

    `read` counts prompts and what stands before them, which are computed before anything is drawn,
    and whose keys and values all samples of a prompt share. `scored` counts passes without a
    gradient, for R_π, R* and the loss's reference.
    """

    sampled_by_policy: int
    sampled_by_expert: int
    read: int
    scored: int
    trained: int

    def operations(self, workload: Workload) -> int:
        """Count floating-point operations: 2 a parameter forward, 2 or 4 more backward."""
        forward = self.sampled_by_policy + self.sampled_by_expert + self.read + self.scored
        each = 6 if workload.trains == "all" else 4
        return workload.model.parameters * (2 * forward + each * self.trained)


@dataclass(frozen=True)
class Memory:
    """The memory that is held at once, at the least. *Units*: GiB.

    `weights` are π_0's. `copies` are policy and expert where they are whole copies, `adapters`
    where they are not. `optimiser` is the gradient and Adam's two moments (float32). `activations`
    are those of a step on a single preference, kept for its backward pass.
    """

    weights: float
    copies: float
    adapters: float
    optimiser: float
    activations: float

    @property
    def held(self) -> float:
        """The memory that stays taken, whatever is computed."""
        return self.weights + self.copies + self.adapters + self.optimiser

    @property
    def least(self) -> float:
        return self.held + self.activations


@dataclass(frozen=True)
class Cost:
    """The cost on one machine. *Units*: hours, infinite where the work does not fit; GiB.

    `work_gb` is what is left beside all that is held (the learner's `memory_limit_gb`). `cache_gb`
    of it hold keys and values of `branches` responses, drawn at once, behind a memory where some
    arms have one. `hours_behind_memory` is of a cell of these arms, None where there are none.
    """

    machine: Machine
    work_gb: float
    branches: int
    cache_gb: float
    hours_per_cell: float
    expert_hours: float
    grid_hours: float
    hours_behind_memory: float | None = None

    @property
    def fits(self) -> bool:
        return math.isfinite(self.hours_per_cell)


@dataclass(frozen=True)
class DryRun:
    """The cost of a grid of arms × seeds: `tokens` and `operations` of one cell, and hours.

    `tokens_behind_memory` are of a cell of the arms that draft behind one, and `behind_memory` its
    workload; None where there are none.
    """

    workload: Workload
    arms: int
    seeds: int
    tokens: Tokens
    operations: int
    expert_tokens: Tokens | None
    memory: Memory
    costs: tuple[Cost, ...]
    behind_memory: Workload | None = None
    tokens_behind_memory: Tokens | None = None


def dry_run(
    experiment: Experiment | Workload,
    *,
    arms: int = 1,
    seeds: int = 1,
    arms_with_memory: int = 0,
    machines: Sequence[Machine] = MACHINES,
) -> DryRun:
    """Count what the cells of a grid and their expert would take, on each machine.

    Of the arms `arms_with_memory` draft behind past texts. *Raises*: ConfigError for an experiment
    on a model of unknown shape.
    """
    whole = experiment if isinstance(experiment, Workload) else Workload.of_experiment(experiment)
    workload, behind = replace(whole, memory=0), whole if arms_with_memory else None
    tokens, memory = cell_tokens(workload), memory_of(behind or workload)
    cells = _Cells(workload, (arms - arms_with_memory) * seeds, behind, arms_with_memory * seeds)
    return DryRun(
        workload,
        arms,
        seeds,
        tokens,
        tokens.operations(workload),
        None if workload.expert is None else expert_tokens(workload, workload.expert),
        memory,
        tuple(_cost(cells, memory, machine) for machine in machines),
        behind,
        None if behind is None else cell_tokens(behind),
    )


def cell_tokens(workload: Workload) -> Tokens:
    """Count the tokens of one cell.

    A preference takes k drafts, which are scored under π and π_0 if k > 1; l redraws, which are
    scored with the draft under π* and its π_0; and a row under π_0 and π. An evaluation draws its
    candidates and scores them under π, π_0 and π*.

    A memory stands before the prompts of drafts and of held-out samples wherever π and its π_0 read
    or score them, and not where the expert does. It is in a preference's rows where that is learned
    with it. An evaluation then scores its candidates under π_0 both behind it and without, and
    draws one without it, which is scored under both models and both π_0.
    """
    p, r, n, m = workload.prompt, workload.response, workload.preferences, workload.memory
    k, l_ = workload.num_candidates, workload.num_expert_samples
    asked, tried = workload.evaluations * workload.held_out, workload.evaluation_candidates
    alone = asked if m else 0
    ranked = 2 * n * (m + p + k * r) if k > 1 else 0
    rewarded = 2 * n * (p + (l_ + 1) * r)
    row = p + tried * r
    evaluated = asked * (m + 3 * row) + alone * (m + row + 4 * (p + r))
    trained = n * workload.pair_tokens
    return Tokens(
        sampled_by_policy=(n * k + asked * tried + alone) * r,
        sampled_by_expert=n * l_ * r,
        read=(n + asked) * (m + p) + (n + alone) * p,
        scored=ranked + rewarded + evaluated + trained,
        trained=trained,
    )


def expert_tokens(workload: Workload, work: ExpertWork) -> Tokens:
    """Count the tokens of the expert's steps and measurements, at most, without its `writer`'s.

    A measurement draws a sample of π* and one of π_0 for each prompt, and scores both under both.
    """
    asked = work.measurements * work.measured_prompts
    p, r = workload.prompt, workload.response
    trained = work.steps * work.preferences_per_step * workload.pair_tokens
    return Tokens(
        sampled_by_policy=asked * r,
        sampled_by_expert=asked * r,
        read=2 * asked * p,
        scored=2 * asked * (p + 2 * r) + trained,
        trained=trained,
    )


def memory_of(workload: Workload) -> Memory:
    """Count what a cell holds beside keys and values: π_0, policy and expert, and a step."""
    model, whole = workload.model, workload.trains == "all"
    both = 2 * workload.learned * 4 / _GIB
    pair = workload.pair_tokens * activation_bytes_per_token(model)
    return Memory(
        weights=model.parameters * model.bytes_per_parameter / _GIB,
        copies=both if whole else 0.0,
        adapters=0.0 if whole else both,
        optimiser=3 * workload.learned * 4 / _GIB,
        activations=pair / _GIB,
    )


@dataclass(frozen=True)
class ResponseSampling:
    """The sampling of responses, as many at once as `free_gb` holds the keys and values of."""

    model: ModelShape
    machine: Machine
    prompt: int
    response: int
    free_gb: float

    @property
    def length(self) -> int:
        return self.prompt + self.response

    def at_once(self, branches: int) -> int:
        return min(branches, branches_within(self.free_gb, self.model, self.length))

    def seconds(self, branches: int) -> float:
        """Estimate how long a call takes that draws so many responses, once their prompts are read.

        A token of each response takes as long as its products, or as reading all weights and each
        response's keys and values so far, whichever is longer (the roofline of Williams et al.
        2009; for decoding Pope et al. 2022, section 2). The start of each layer's operations is
        added.
        """
        batches = -(-branches // self.at_once(branches))
        size = branches / batches
        model, machine = self.model, self.machine
        cache = (self.prompt + self.response / 2) * cache_bytes_per_token(model)
        read = model.parameters * model.bytes_per_parameter + size * cache
        reading = read / (machine.bandwidth * 1e9 * machine.utilisation)
        computing = 2 * model.parameters * size / machine.speed(model)
        starting = model.layers * machine.layer_seconds
        return batches * self.response * (max(reading, computing) + starting)


class _Cells(NamedTuple):
    """How many cells there are without a memory and behind one, and what one of them does."""

    alone: Workload
    number_alone: int
    behind: Workload | None
    number_behind: int


def _cost(cells: _Cells, memory: Memory, machine: Machine) -> Cost:
    workload, behind = cells.alone, cells.behind
    free = machine.memory_gb - memory.held
    if free < memory.activations:
        none = None if behind is None else math.inf
        return Cost(machine, max(free, 0.0), 0, 0.0, math.inf, math.inf, math.inf, none)
    expert = 0.0
    if workload.expert is not None:
        sampling = _sampling(workload, machine, free)
        expert = _expert_seconds(workload, workload.expert, sampling) / 3600
    cell = _cell_seconds(workload, machine, free) / 3600
    other = None if behind is None else _cell_seconds(behind, machine, free) / 3600
    longest = behind or workload
    sampling = _sampling(longest, machine, free, memory=longest.memory)
    most = sampling.at_once(max(_drawn_at_once(longest)))
    return Cost(
        machine,
        work_gb=free,
        branches=most,
        cache_gb=most * sampling.length * cache_bytes_per_token(longest.model) / _GIB,
        hours_per_cell=cell,
        expert_hours=expert,
        grid_hours=expert + cells.number_alone * cell + cells.number_behind * (other or 0.0),
        hours_behind_memory=other,
    )


def _cell_seconds(workload: Workload, machine: Machine, free: float) -> float:
    drafts, redraws, evaluated = _drawn_at_once(workload)
    alone = _sampling(workload, machine, free)
    behind = _sampling(workload, machine, free, memory=workload.memory)
    steps = workload.preferences / workload.preferences_per_step
    seconds = _seconds_of_passes(cell_tokens(workload), workload, machine)
    seconds += steps * (behind.seconds(drafts) + alone.seconds(redraws))
    seconds += workload.evaluations * behind.seconds(evaluated)
    if workload.memory:
        seconds += workload.evaluations * alone.seconds(workload.held_out)
    return seconds


def _drawn_at_once(workload: Workload) -> tuple[int, int, int]:
    """Return how many drafts, redraws and held-out samples are drawn in one call."""
    step = workload.preferences_per_step
    drafts, redraws = step * workload.num_candidates, step * workload.num_expert_samples
    return drafts, redraws, workload.held_out * workload.evaluation_candidates


def _sampling(
    workload: Workload, machine: Machine, free: float, *, memory: int = 0
) -> ResponseSampling:
    prompt = memory + workload.prompt
    return ResponseSampling(workload.model, machine, prompt, workload.response, free)


def _seconds_of_passes(tokens: Tokens, workload: Workload, machine: Machine) -> float:
    """Estimate the seconds of all work but the sampling."""
    passes = replace(tokens, sampled_by_policy=0, sampled_by_expert=0)
    return passes.operations(workload) / machine.speed(workload.model)


def _expert_seconds(workload: Workload, work: ExpertWork, sampling: ResponseSampling) -> float:
    machine = sampling.machine
    seconds = _seconds_of_passes(expert_tokens(workload, work), workload, machine)
    seconds += 2 * work.measurements * sampling.seconds(work.measured_prompts)
    if work.written and (writer := work.writer) is not None:
        # The writer is alone on the machine, and scores each text in one more pass.
        free = machine.memory_gb - writer.parameters * writer.bytes_per_parameter / _GIB
        seconds += replace(sampling, model=writer, free_gb=free).seconds(work.written)
        read = 2 * sampling.prompt + sampling.response
        seconds += 2 * writer.parameters * work.written * read / machine.speed(writer)
    return seconds


def describe(run: DryRun) -> list[tuple[str, str]]:
    """Return the rows of a table: what is counted, and how much it is."""
    work, tokens, memory = run.workload, run.tokens, run.memory
    model = work.model
    learns = "a whole copy" if work.trains == "all" else f"an adapter of rank {work.lora_r}"
    cell = f"{tokens.sampled_by_policy:,} by the policy, {tokens.sampled_by_expert:,} by the expert"
    rows = [
        (
            "model",
            f"{model.name}, {_short(model.parameters)} parameters of "
            f"{model.bytes_per_parameter} bytes",
        ),
        ("learns", f"{learns}, {_short(work.learned)} parameters"),
        ("tokens sampled a cell", cell),
        ("tokens scored a cell", f"{tokens.scored + tokens.read:,}, prompts read included"),
        ("tokens trained a cell", f"{tokens.trained:,}"),
        ("operations a cell", f"{run.operations:.2g}"),
        *_describe_behind_memory(run),
        (
            "memory",
            f"at least {memory.least:.3g} GB: weights {memory.weights:.3g}, copies "
            f"{memory.copies:.3g}, adapters {memory.adapters:.2g}, optimiser "
            f"{memory.optimiser:.2g}, a step {memory.activations:.2g}",
        ),
    ]
    return rows + [(cost.machine.name, _describe_cost(cost, run)) for cost in run.costs]


def _describe_behind_memory(run: DryRun) -> list[tuple[str, str]]:
    work, tokens = run.behind_memory, run.tokens_behind_memory
    if work is None or tokens is None:
        return []
    learned = "learned with it" if work.learns_with_memory else "learned without it"
    return [
        (
            "a cell with a memory",
            f"at most {work.memory:,} tokens before a prompt, {learned}: "
            f"{tokens.sampled_by_policy:,} sampled by the policy, "
            f"{tokens.scored + tokens.read:,} scored, {tokens.trained:,} trained",
        )
    ]


def _describe_cost(cost: Cost, run: DryRun) -> str:
    if not cost.fits:
        return f"does not fit: it has {cost.machine.memory_gb:g} GB"
    cell, behind = f"{_duration(cost.hours_per_cell)} a cell", cost.hours_behind_memory
    if behind is not None:
        cell += f" ({_duration(behind)} with a memory)"
    return (
        f"{cell}, expert up to {_duration(cost.expert_hours)}, "
        f"{_duration(cost.grid_hours)} for {run.arms} arms × {run.seeds} seeds; "
        f"{cost.branches} responses at once take {cost.cache_gb:.2g} of {cost.work_gb:.3g} GB"
    )


def _duration(hours: float) -> str:
    if hours < 1 / 60:
        return f"{hours * 3600:.2g} s"
    return f"{hours * 60:.2g} min" if hours < 1 else f"{hours:,.3g} h"


def _short(count: int) -> str:
    billions = count / 1e9
    return f"{billions:.3g} billion" if billions >= 1 else f"{count / 1e6:.3g} million"
