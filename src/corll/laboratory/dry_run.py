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

from corll.laboratory.shapes import MACHINES, Machine, ModelShape
from corll.laboratory.sizes import Experiment
from corll.laboratory.workload import ExpertWork, Workload
from corll.model.memory import activation_bytes_per_token, branches_within, cache_bytes_per_token

_GIB = 2**30


@dataclass(frozen=True)
class Tokens:
    """The tokens of some work, by what is done with them; each is a pass of one token.

    `read` counts prompts, which are computed before anything is drawn. `scored` counts passes
    without a gradient, for R_π, R* and the loss's reference.
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
    of it hold keys and values of `branches` responses, drawn at once.
    """

    machine: Machine
    work_gb: float
    branches: int
    cache_gb: float
    hours_per_cell: float
    expert_hours: float
    grid_hours: float

    @property
    def fits(self) -> bool:
        return math.isfinite(self.hours_per_cell)


@dataclass(frozen=True)
class DryRun:
    """The cost of a grid of arms × seeds: `tokens` and `operations` of one cell, and hours."""

    workload: Workload
    arms: int
    seeds: int
    tokens: Tokens
    operations: int
    expert_tokens: Tokens | None
    memory: Memory
    costs: tuple[Cost, ...]


def dry_run(
    experiment: Experiment | Workload,
    *,
    arms: int = 1,
    seeds: int = 1,
    machines: Sequence[Machine] = MACHINES,
) -> DryRun:
    """Count what the cells of a grid and their expert would take, on each machine.

    *Raises*: ConfigError for an experiment on a model of unknown shape.
    """
    workload = (
        experiment if isinstance(experiment, Workload) else Workload.of_experiment(experiment)
    )
    tokens, memory = cell_tokens(workload), memory_of(workload)
    return DryRun(
        workload,
        arms,
        seeds,
        tokens,
        tokens.operations(workload),
        None if workload.expert is None else expert_tokens(workload, workload.expert),
        memory,
        tuple(_cost(workload, memory, machine, arms * seeds) for machine in machines),
    )


def cell_tokens(workload: Workload) -> Tokens:
    """Count the tokens of one cell.

    A preference takes k drafts, which are scored under π and π_0 if k > 1; l redraws, which are
    scored with the draft under π* and its π_0; and a row under π_0 and π. An evaluation draws its
    candidates and scores them under all four.
    """
    p, r, n = workload.prompt, workload.response, workload.preferences
    k, l_ = workload.num_candidates, workload.num_expert_samples
    asked, tried = workload.evaluations * workload.held_out, workload.evaluation_candidates
    ranked = 2 * n * (p + k * r) if k > 1 else 0
    rewarded = 2 * n * (p + (l_ + 1) * r)
    evaluated = 4 * asked * (p + tried * r)
    trained = n * workload.pair_tokens
    return Tokens(
        sampled_by_policy=(n * k + asked * tried) * r,
        sampled_by_expert=n * l_ * r,
        read=(2 * n + asked) * p,
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


def _cost(workload: Workload, memory: Memory, machine: Machine, cells: int) -> Cost:
    model = workload.model
    free = machine.memory_gb - memory.held
    if free < memory.activations:
        return Cost(machine, max(free, 0.0), 0, 0.0, math.inf, math.inf, math.inf)
    sampling = ResponseSampling(model, machine, workload.prompt, workload.response, free)
    step = workload.preferences_per_step
    drafts, redraws = step * workload.num_candidates, step * workload.num_expert_samples
    evaluated = workload.held_out * workload.evaluation_candidates
    seconds = _seconds_of_passes(cell_tokens(workload), workload, machine)
    seconds += workload.preferences / step * (sampling.seconds(drafts) + sampling.seconds(redraws))
    seconds += workload.evaluations * sampling.seconds(evaluated)
    expert = 0.0
    if workload.expert is not None:
        expert = _expert_seconds(workload, workload.expert, sampling) / 3600
    most = sampling.at_once(max(drafts, redraws, evaluated))
    cell = seconds / 3600
    return Cost(
        machine,
        work_gb=free,
        branches=most,
        cache_gb=most * sampling.length * cache_bytes_per_token(model) / _GIB,
        hours_per_cell=cell,
        expert_hours=expert,
        grid_hours=expert + cells * cell,
    )


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
        (
            "memory",
            f"at least {memory.least:.3g} GB: weights {memory.weights:.3g}, copies "
            f"{memory.copies:.3g}, adapters {memory.adapters:.2g}, optimiser "
            f"{memory.optimiser:.2g}, a step {memory.activations:.2g}",
        ),
    ]
    return rows + [(cost.machine.name, _describe_cost(cost, run)) for cost in run.costs]


def _describe_cost(cost: Cost, run: DryRun) -> str:
    if not cost.fits:
        return f"does not fit: it has {cost.machine.memory_gb:g} GB"
    return (
        f"{_duration(cost.hours_per_cell)} a cell, expert up to {_duration(cost.expert_hours)}, "
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
