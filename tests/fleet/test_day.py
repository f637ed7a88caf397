"""A simulated day: deterministic, in step with its assumptions, and told with its costs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from corll.cli import main
from corll.errors import ConfigError, InputError
from corll.fleet.arrivals import Events, activity, draw_drafts
from corll.fleet.assumptions import Assumptions, read_assumptions
from corll.fleet.costs import by_hour, costs_of, limits_of
from corll.fleet.day import Day, play_day, sizes_for
from corll.fleet.learners import Fleet, Learned
from corll.fleet.report import lines_of, summary_of

USERS = 1500


@pytest.fixture(scope="module")
def day() -> Day:
    return play_day(read_assumptions(users=USERS), seed=3)


def with_changes(tmp_path: Path, text: str, users: int = USERS) -> Assumptions:
    path = tmp_path / "changed.toml"
    path.write_text(text, encoding="utf-8")
    return read_assumptions(path, users=users)


def test_the_same_seed_gives_the_same_day(day: Day) -> None:
    again = summary_of(play_day(read_assumptions(users=USERS), seed=3))
    assert again == summary_of(day)
    assert summary_of(play_day(read_assumptions(users=USERS), seed=4)) != again


def test_a_day_has_as_many_drafts_as_is_assumed_in_each_hour(day: Day) -> None:
    users = day.assumptions.users
    assert len(day.drafts) == pytest.approx(USERS * users.drafts_a_day, rel=0.05)
    hours = np.array(users.by_hour) / sum(users.by_hour)
    assert by_hour(day.drafts) / len(day.drafts) == pytest.approx(hours, abs=0.02)
    edits = users.edited_share * users.learning_share * len(day.drafts)
    assert len(day.edits) == pytest.approx(edits, rel=0.1)


def test_activity_falls_by_zipf_s_law_behind_its_head() -> None:
    users = read_assumptions(users=100_000).users
    shares = activity(users)
    assert shares.sum() == pytest.approx(1)
    assert (np.diff(shares) < 0).all()
    # Behind the head a tenth of the rank is ten times as busy.
    assert shares[20_000] / shares[80_000] == pytest.approx(81_001 / 21_001, rel=1e-6)
    drafts = draw_drafts(users, np.random.default_rng(0), days=1)
    busiest = np.bincount(drafts.users)[:1000].mean()
    assert busiest == pytest.approx(shares[:1000].mean() * users.number * 5, rel=0.02)


def test_each_claim_holds_whole_steps_and_nobody_is_held_twice() -> None:
    times = np.array([0.0, 1.0, 1.5, 2.0, 3.0, 4.0])
    edits = Events(times, np.array([7, 7, 7, 7, 7, 8]))
    fleet = Fleet(2, lambda count: 10.0, edits_a_step=2, most_steps=16, flush_s=50.0, serve_s=0.5)
    learned = fleet.play(edits, until=np.inf)
    # 7 is taken at 1 with two edits, at 11 with two of the other three, and the last one, as 8's,
    # when it is 50 s old.
    assert learned.versions.times.tolist() == [11.5, 21.5, 63.5, 64.5]
    assert learned.versions.users.tolist() == [7, 7, 7, 8]
    assert learned.edit_to_serving.tolist() == [11.5, 10.5, 20.0, 19.5, 60.5, 60.5]
    assert learned.waited.tolist() == [0.0, 9.0, 0.0, 0.0]
    assert learned.left == 0


def test_edits_that_nobody_came_to_are_counted() -> None:
    edits = Events(np.array([0.0, 1.0, 2.0]), np.array([1, 2, 3]))
    fleet = Fleet(1, lambda _: 100.0, edits_a_step=1, most_steps=1, flush_s=1e9, serve_s=0.0)
    learned: Learned = fleet.play(edits, until=150.0)
    assert (len(learned.versions), learned.left) == (1, 2)


def test_more_learners_and_larger_caches_never_make_it_worse(tmp_path: Path) -> None:
    few = play_day(with_changes(tmp_path, "[learning]\nlearners = 1\nexamine_s = 60"), seed=0)
    more = play_day(with_changes(tmp_path, "[learning]\nlearners = 9\nexamine_s = 60"), seed=0)
    waits = [np.quantile(one.learned.due_to_serving, 0.95) for one in (few, more)]
    assert waits[0] > 1.5 * waits[1]
    hits = [summary_of(few)[name] for name in ("hits_in_memory", "hits_in_memory_or_on_disk")]
    assert 0 < hits[0] <= hits[1] < 1


def test_drafts_of_one_replica_find_more_adapters_than_those_that_go_anywhere(
    tmp_path: Path,
) -> None:
    tables = "[drafting]\nreplicas = 4\n[adapters]\nmemory_gb = 4\n"
    own = play_day(with_changes(tmp_path, tables), seed=0)
    anywhere = play_day(
        with_changes(tmp_path, tables.replace("4\n[ad", '4\nrouting = "anywhere"\n[ad')), seed=0
    )
    assert summary_of(own)["hits_in_memory"] > summary_of(anywhere)["hits_in_memory"] + 0.1


def test_costs_are_machines_by_the_hour_and_gigabytes_by_the_month(day: Day) -> None:
    costs = {cost.part: cost for cost in costs_of(day)}
    prices, hours = day.assumptions.prices, 24 * 365 / 12
    learners = sizes_for(day.assumptions).learners
    assert costs["learning"].a_month == pytest.approx(learners * hours * prices.learner_hour)
    kept = USERS * 0.6 * (37 * 6 + 74) / 1000
    assert costs["store"].amount == pytest.approx(kept)
    told = summary_of(day)
    assert told["cost_a_user_a_month"] == pytest.approx(
        sum(c.a_month for c in costs.values()) / USERS
    )


def test_what_gives_way_first_stands_first_and_grows_with_the_users(day: Day) -> None:
    limits = limits_of(day)
    assert [one.breaks_at for one in limits] == sorted(one.breaks_at for one in limits)
    writes = next(one for one in limits if one.part == "database, writes")
    assert writes.breaks_at == pytest.approx(USERS * writes.capacity / writes.load)
    lines = list(lines_of(day))
    assert any(f"{10 * USERS:,} users" in line for line in lines)
    heading = next(number for number, line in enumerate(lines) if "first to give" in line)
    assert limits[0].part in lines[heading + 1]


def test_every_table_of_assumptions_says_where_its_numbers_come_from() -> None:
    for _, table in read_assumptions():
        assert len(table.source) > 20


def test_what_a_file_says_stands_in_place_of_a_default(tmp_path: Path) -> None:
    changed = with_changes(tmp_path, "[prices]\nreplica_hour = 3.5\n")
    assert changed.prices.replica_hour == 3.5
    assert changed.prices.learner_hour == read_assumptions().prices.learner_hour
    with pytest.raises(ConfigError, match="no table"):
        with_changes(tmp_path, "[price]\nreplica_hour = 3.5\n")
    with pytest.raises(ConfigError, match="replica_our"):
        with_changes(tmp_path, "[prices]\nreplica_our = 3.5\n")
    with pytest.raises(InputError, match="print-assumptions"):
        with_changes(tmp_path, "[prices\n")
    with pytest.raises(InputError, match="No such file"):
        read_assumptions(tmp_path / "none.toml")


def test_the_command_prints_a_page_or_json_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = tmp_path / "day.svg"
    assert main(["simulate-fleet", "--users", "300", "--figure", str(figure)]) == 0
    assert "a user a month" in capsys.readouterr().out
    assert "versions never changed" in figure.read_text(encoding="utf-8")
    assert main(["simulate-fleet", "--users", "300", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["users"], told["assumptions"]["users"]["number"]) == (300, 300)
    assert main(["simulate-fleet", "--print-assumptions"]) == 0
    assert capsys.readouterr().out.startswith("# What `corll simulate-fleet` assumes.")
    with pytest.raises(SystemExit):
        main(["simulate-fleet", "--figure", "day.pdf"])
