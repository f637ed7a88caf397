"""Does a model that learned from simulated edits give secrets away? `corll audit` on such lineages.

    python experiments/audit/audit_texts.py --out FILE.jsonl [--model NAME] [--writer signs]
        [--edits 24] [--canaries 4] [--repeats 1,4] [--set NAME=VALUE …] [--label NAME]
    python experiments/audit/audit_texts.py --report FILE.jsonl …

A writer edits drafts of the base, the service's trainer learns them by its defaults, N at a time,
and the audit plants canaries in a copy of that lineage, each in so many texts. Drafts are of the
base, so that all repeats and settings have the same texts. One JSON line an audit.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from corll.auto.machine import device_name
from corll.auto.resolve import resolve
from corll.cli.arguments import assignments
from corll.cli.dialogue import terminal_dialogue
from corll.draft import make_drafts
from corll.errors import CorllError
from corll.files.durable import append_line, read_lines
from corll.policy import Policy
from corll.service import feedback
from corll.service.audit.auditing import audit
from corll.service.audit.plan import AuditPlan
from corll.service.audit.reporting import as_json
from corll.service.base_model import with_models_sampling
from corll.service.learning.trainer import Trainer
from corll.service.settings import ServiceSettings
from corll.service.store import accounts, drafts
from corll.service.store.accounts import User
from corll.service.store.database import Database
from corll.service.store.drafts import DraftRow
from corll.service.store.rows import new_id
from corll.simulation.writers import WRITERS, writing_requests

_AT_ONCE = 8


def drafted(base: Policy, writer_name: str, count: int, settings: ServiceSettings) -> list[Any]:
    """Return drafts of the base, and what the writer sent in place of each; acceptances aside."""
    writer, requests = WRITERS[writer_name](), writing_requests("train")[: 2 * count]
    found: list[Any] = []
    for start in range(0, len(requests), _AT_ONCE):
        prompts = [
            [{"role": "user", "content": request.prompt}]
            for request in requests[start : start + _AT_ONCE]
        ]
        config = settings.coactive.with_settings(max_completion_length=128)
        seeds = list(range(start, start + len(prompts)))
        for draft in make_drafts(base, prompts, config, seeds=seeds):
            sent = writer.edit(draft)
            if len(found) < count and sent != draft.text:
                found.append((draft, sent))
        if len(found) == count:
            break
    return found


def keep(database: Database, user: User, draft: Any, sent: str) -> None:
    """Keep a draft and its edit as the service does."""
    sample = draft.sample
    row = DraftRow(
        id=new_id("chatcmpl-"),
        user_id=user.id,
        key_id=None,
        kind="chat",
        model="corll",
        prompt=draft.prompt,
        version_id=None,
        candidates=[
            {
                "text": sample.text,
                "token_ids": list(sample.token_ids),
                "logprob": sample.logprob,
                "finished": sample.finished,
            }
        ],
        shown=[0],
        scores=None,
        sampling={},
        seed=draft.seed,
        status="complete",
        held_back=False,
        source="live",
        created_at=time.time(),
    )
    judged = feedback.JudgedEdit(row, 0, sent, accepted=False, edit_cost=1.0, reason=None)

    def write(db: Any) -> None:
        drafts.add_draft(db, row)
        feedback.record_edit(db, judged, now=time.time())

    database.write(write)


def audits(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield an audit for each number of texts that hold a canary."""
    base = Policy.load(resolve(options.model, terminal_dialogue()), memory_limit_gb=1.0)
    with TemporaryDirectory(prefix="audit-") as folder:
        settings = ServiceSettings(
            data_dir=Path(folder), veto_drafts=0, weigh_edits=False, log_level="error"
        )
        changes = dict(assignments(options.set))
        settings = settings.model_copy(
            update={"coactive": settings.coactive.with_settings(**changes)}
        )
        settings = with_models_sampling(settings, base)
        pairs = drafted(base, options.writer, options.edits, settings)
        print(f"{len(pairs)} edits", file=sys.stderr)
        database = Database.open(None, Path(folder))
        user = database.write(
            lambda db: accounts.get_or_create_user(
                db, accounts.LOCAL_NAMESPACE, "writer", store=True, learn=True, now=time.time()
            )
        )
        for draft, sent in pairs:
            keep(database, user, draft, sent)
        trainer, start = Trainer(base, database, settings), time.monotonic()
        while (version := trainer.learn(user.id)) is not None:
            print(f"version {version.number} {version.state} {version.reasons}", file=sys.stderr)
        learned = time.monotonic() - start
        for n, repeats in enumerate(options.repeats):
            strings = 32 if n == 0 else 0
            plan = AuditPlan(canaries=options.canaries, repeats=repeats, strings=strings)
            start = time.monotonic()
            found = audit(
                base, database, settings, user, plan, say=lambda line: print(line, file=sys.stderr)
            )
            yield {
                "model": base.name,
                "dtype": str(base.dtype).removeprefix("torch."),
                "machine": device_name(base.device),
                "writer": options.writer,
                "label": options.label,
                "settings": changes,
                "edits": len(pairs),
                "plan": plan.model_dump(),
                "seconds_learning": learned,
                "seconds": time.monotonic() - start,
                "command": "python experiments/audit/audit_texts.py " + " ".join(sys.argv[1:]),
                **as_json(found),
            }
        database.close()


def report(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a table: a line for each kind of secret, and where it was looked for."""
    columns = "settings, texts with it, looked for, secrets, bits (base), by learning, greedily"
    names = [*columns.split(", "), "in samples"]
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for line in lines:
        wheres = {"after its own text": "in_place", "after another request": "elsewhere"}
        found = {
            where: [one[name] for one in line["canaries"] if one[name] is not None]
            for where, name in wheres.items()
        }
        found["own strings"] = [one["probe"] for one in line["strings"]]
        for where, probes in found.items():
            if probes:
                repeats = "–" if where == "own strings" else line["plan"]["repeats"]
                yield f"| {line['label']} | {repeats} | {where} | {_row(probes)}"


def _row(probes: Sequence[Mapping[str, Any]]) -> str:
    def mean(name: str) -> float:
        return fmean(probe[name] for probe in probes)

    greedy = sum(probe["greedy"] for probe in probes)
    sampled = sum(probe["sampled"] > 0 for probe in probes)
    return (
        f"{len(probes)} | {mean('exposure'):.1f} ({mean('exposure_base'):.1f}) | "
        f"{mean('exposure_learned'):.1f} | {greedy} | {sampled} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("--report", type=Path, nargs="+")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--writer", default="signs", choices=list(WRITERS))
    parser.add_argument("--edits", type=int, default=24)
    parser.add_argument("--canaries", type=int, default=4)
    parser.add_argument(
        "--repeats", type=lambda text: [int(n) for n in text.split(",")], default=[1]
    )
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--label", default="default")
    options = parser.parse_args()
    try:
        if options.report:
            for line in report([one for path in options.report for _, one in read_lines(path)]):
                print(line)
        elif options.out:
            for one in audits(options):
                append_line(options.out, one)
        else:
            parser.error("give --out or --report")
    except CorllError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
