"""Do edits that people made teach a model? ParaDetox, and CAD from negative to positive.

    python experiments/human_edits/human_edits.py --out FILE.jsonl --data paradetox
        --rows paradetox.jsonl.gz [--model NAME] [--seeds 1] [--arms base,memory,sft,…]
    python experiments/human_edits/human_edits.py --out FILE.jsonl --data cad
        --rows cad_train.jsonl.gz --test-rows cad_dev.jsonl.gz --labelled imdb_reviews.jsonl.gz
    python experiments/human_edits/human_edits.py --report FILE.jsonl … [--figure FILE.png]

The drafts are texts of people, so all arms learn off-policy; no row says who edited, so no editor
is held out. Stopped and started again, it goes on where it was. `--texts` keeps drafts and
originals in the lines; results that are published go without.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from corll.auto.machine import device_name
from corll.auto.resolve import resolve
from corll.cli.dialogue import terminal_dialogue
from corll.edit_logs.human_edits import check_direction
from corll.errors import CorllError, InputError
from corll.files.cell_lines import Line, finished_cells, play_cells, playing_into
from corll.policy import Policy
from corll.replay.scores import Sides
from corll.version import __version__
from edit_data import EditData, cad_data, paradetox_data
from edit_figure import draw_edits
from edit_play import play
from edit_report import read_measured, report
from edit_trial import ARMS, DEFAULTS, QUICK, SIZES, CellKey, Trial, named_arms


def run(options: argparse.Namespace, trial: Trial, arms: Sequence[str]) -> None:
    """Play the cells that are not there yet, and add them to the file.

    *Raises*: InputError where another process plays into it.
    """
    out: Path = options.out
    policy = Policy.load(
        resolve(options.model, terminal_dialogue()),
        dtype=options.dtype,
        memory_limit_gb=trial.config.memory_limit_gb,
    )
    data = _data(options, trial, policy)
    print(f"{trial.data}: {_in_words(data)}", flush=True)
    with playing_into(out):
        _play(options, trial.sampled_as(policy), arms, policy, data)


def _play(
    options: argparse.Namespace,
    trial: Trial,
    arms: Sequence[str],
    policy: Policy,
    data: EditData,
) -> None:
    machine = {
        "machine": device_name(policy.device),
        "dtype": str(policy.dtype).removeprefix("torch."),
        "corll": __version__,
    }
    wanted = {
        CellKey(seed, trial.data, arm, trial.label): {
            "model": policy.name,
            "cell": trial.about(arm, data.about),
        }
        for seed in range(options.first_seed, options.first_seed + options.seeds)
        for arm in arms
    }
    finished = finished_cells(
        options.out, wanted, key_of=CellKey.of, count_of=lambda line: int(line["cell"]["lines"])
    )
    known: dict[int, Sides] = {}

    def played(left: Sequence[CellKey]) -> Iterator[tuple[CellKey, Line]]:
        for key in left:
            for line in play(policy, key, trial, data, known=known):
                yield key, line

    marks: dict[CellKey, int] = {}

    def say(key: CellKey, line: Line) -> None:
        if line["edits"] != marks.get(key):
            marks[key] = line["edits"]
            print(
                f"{' '.join(map(str, key))}: {line['edits']} edits, {line['learn_s']} s", flush=True
            )

    play_cells(options.out, wanted, finished, machine, played, progress=say)


def _data(options: argparse.Namespace, trial: Trial, policy: Policy) -> EditData:
    if trial.data == "paradetox":
        return paradetox_data(options.rows, trial.sizes, policy.codec)
    return cad_data(
        options.rows,
        options.test_rows,
        options.labelled,
        trial.sizes,
        policy.codec,
        direction=options.direction,
    )


def _in_words(data: EditData) -> str:
    about: dict[str, Any] = data.about
    left_out = ", ".join(f"{count} × {reason}" for reason, count in about["left_out"].items())
    return (
        f"{about['learned_from']} edits to learn from, {about['held_out']} held out, "
        f"{about['rest']} others (left out: {left_out or 'none'}). The scorer of {data.wanted} "
        f"texts was trained on {about['scorer_texts']} others: right for "
        f"{about['scorer_accuracy']:.1%} of its own held-out texts, for "
        f"{about['scorer_on_held_out']:.1%} of our held-out originals and edits, and in "
        f"{about['scorer_in_pairs']:.1%} of their pairs."
    )


def _checked(options: argparse.Namespace) -> Trial:
    """Return the settings of the command line. *Raises*: InputError, ConfigError."""
    if options.seeds < 1:
        raise InputError("--seeds must be at least 1.")
    if options.rows is None:
        raise InputError(f"Give the rows of {options.data} by --rows FILE.jsonl.gz.")
    check_direction(options.direction)
    if options.data == "cad" and options.labelled is None:
        raise InputError(
            "CAD needs labelled reviews for its scorer: give --labelled FILE.jsonl.gz, with text "
            "and positive in each line."
        )
    if options.data != "cad" and (options.test_rows or options.labelled):
        raise InputError(f"--test-rows and --labelled are for CAD; {options.data} needs neither.")
    sizes = (QUICK if options.quick else SIZES)[options.data]
    given = {name: getattr(options, name) for name in sizes._fields}
    sizes = sizes._replace(**{name: value for name, value in given.items() if value is not None})
    if min(sizes.edits, sizes.held_out, sizes.longest) < 1 or sizes.drafts < 0:
        raise InputError("--edits, --held-out and --longest must be at least 1, --drafts 0.")
    return Trial.of(
        options.data,
        sizes._replace(drafts=min(sizes.drafts, sizes.held_out)),
        settings=options.set,
        memory=options.memory,
        label=options.label,
        keeps_texts=options.texts,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="file of the lines")
    parser.add_argument("--report", type=Path, nargs="+", help="files to report on")
    parser.add_argument("--figure", type=Path, help="where the figure of a report goes")
    parser.add_argument("--data", choices=tuple(SIZES), default="paradetox")
    parser.add_argument("--rows", type=Path, help="the data set; of CAD the part to learn from")
    parser.add_argument("--test-rows", type=Path, help="CAD's rows that are held out first")
    parser.add_argument("--labelled", type=Path, help="reviews with text and positive, for CAD")
    parser.add_argument("--direction", default="negative-to-positive", help="of CAD's edits")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16; by default the machine's")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--edits", type=int, help="edits that are learned from")
    parser.add_argument("--held-out", type=int, help="edits that are scored")
    parser.add_argument("--drafts", type=int, help="held-out prompts that are drafted for")
    parser.add_argument("--longest", type=int, help="tokens of an original and of an edit at most")
    parser.add_argument("--quick", action="store_true", help="16 edits and 8 held out")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--memory", choices=("last", "nearest"), default="last")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--label", default=DEFAULTS, help="name of what --set or --memory changes")
    parser.add_argument("--texts", action="store_true", help="keep originals and drafts")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    options = _parser().parse_args(arguments)
    if (options.out is None) == (options.report is None):
        raise InputError("Give --out FILE to play, or --report FILE … to read.")
    if options.out is not None:
        run(options, _checked(options), named_arms(options.arms))
        return
    measured = read_measured(options.report)
    print(report(measured))
    if options.figure is not None:
        draw_edits(measured, options.figure)


if __name__ == "__main__":
    try:
        main()
    except CorllError as error:
        sys.exit(f"error: {error}")
