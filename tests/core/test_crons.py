"""Crons: when they run next, and what they start, whatever the clock does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colonies_node.core import schedule, timers
from colonies_node.core.errors import BadRequest, ColonyError
from colonies_node.core.model.times import SECOND, parse_time
from tests.core.colony import NAME, STRANGER, USER, Colony, executor_id


def instant(text: str) -> int:
    return parse_time(text)


def after(expression: str, now: str, zone: str = "UTC") -> str:
    found = schedule.parse(expression, zone).after(instant(now))
    return datetime.fromtimestamp(found // SECOND, UTC).isoformat()[:19] + "Z" if found else ""


@pytest.mark.parametrize(
    ("expression", "now", "expected"),
    [
        ("*/10 * * * * *", "2026-03-01T00:00:00Z", "2026-03-01T00:00:10Z"),
        ("0 30 4 * * *", "2026-03-01T04:30:00Z", "2026-03-02T04:30:00Z"),
        ("0 0 0 1 JAN ?", "2026-03-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("5/20 * * * * *", "2026-03-01T00:00:26Z", "2026-03-01T00:00:45Z"),
        ("0 0 12 13 * fri", "2026-03-01T00:00:00Z", "2026-03-06T12:00:00Z"),
        ("0 0 12 * * fri", "2026-03-01T00:00:00Z", "2026-03-06T12:00:00Z"),
        ("0 0 12 13 * *", "2026-03-01T00:00:00Z", "2026-03-13T12:00:00Z"),
        ("0 0 0 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 0 0 31 2 *", "2026-03-01T00:00:00Z", ""),
        ("@daily", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
        ("@every 1h30m", "2026-03-01T00:00:00.5Z", "2026-03-01T01:30:00Z"),
        ("@every 10ms", "2026-03-01T00:00:00Z", "2026-03-01T00:00:01Z"),
        ("TZ=America/New_York 0 0 9 * * *", "2026-07-01T00:00:00Z", "2026-07-01T13:00:00Z"),
    ],
)
def test_the_next_instant(expression: str, now: str, expected: str) -> None:
    assert after(expression, now) == expected


def test_summer_time_skips_an_hour_and_winter_time_repeats_one() -> None:
    stockholm = "Europe/Stockholm"
    assert after("0 30 2 * * *", "2026-03-28T12:00:00Z", stockholm) == "2026-03-30T00:30:00Z"
    assert after("0 30 3 * * *", "2026-03-28T12:00:00Z", stockholm) == "2026-03-29T01:30:00Z"
    assert after("0 30 2 * * *", "2026-10-24T12:00:00Z", stockholm) == "2026-10-25T00:30:00Z"
    assert after("0 30 3 * * *", "2026-10-24T12:00:00Z", stockholm) == "2026-10-25T02:30:00Z"
    assert after("0 0 * * * *", "2026-10-25T00:00:00Z", stockholm) == "2026-10-25T01:00:00Z"


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("", "empty cron expression string"),
        ("* * * * *", "expected exactly 6 fields, found 5: [* * * * *]"),
        ("x * * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("1-2-3 * * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * * *", "too many slashes: 1/2/3"),
        ("60 * * * * *", "end of range (60) above maximum (59): 60"),
        ("* * * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("9-3 * * * * *", "beginning of range (9) beyond end of range (3): 9-3"),
        ("*/0 * * * * *", "step of range should be a positive number: */0"),
        ("* * * * * 7", "end of range (7) above maximum (6): 7"),
        ("@often", "unrecognized descriptor: @often"),
        ("@every soon", "failed to parse duration soon:"),
        ("TZ=Nowhere/Town * * * * * *", "provided bad location Nowhere/Town:"),
        (", * * * * *", "no value in a field"),
    ],
)
def test_a_fault_is_told_as_clients_know_it(expression: str, text: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        schedule.parse(expression, "UTC")
    assert refusal.value.message.startswith(text)


@st.composite
def fields(draw: st.DrawFn) -> tuple[str, list[set[int]], bool]:
    """(expression, the values that each field allows, whether both days must match)."""
    texts, allowed = [], []
    day_and = False
    for position, (low, high) in enumerate(((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))):
        form = draw(st.sampled_from(("star", "star", "list", "range", "from")))
        value = draw(st.integers(low, high))
        if form == "star":
            texts.append("*")
            allowed.append(set(range(low, high + 1)))
            day_and = day_and or position in (3, 5)
        elif form == "list":
            values = draw(st.sets(st.integers(low, high), min_size=1, max_size=4))
            texts.append(",".join(map(str, values)))
            allowed.append(values)
        elif form == "range":
            end, step = draw(st.integers(value, high)), draw(st.integers(1, 7))
            texts.append(f"{value}-{end}/{step}")
            allowed.append(set(range(value, end + 1, step)))
        else:
            step = draw(st.integers(1, 20))
            texts.append(f"{value}/{step}")
            allowed.append(set(range(value, high + 1, step)))
    return " ".join(texts), allowed, day_and


@settings(max_examples=150, deadline=None)
@given(drawn=fields(), now=st.integers(1_500_000_000, 1_900_000_000))
def test_random_expressions_match_the_first_instant_that_fits(
    drawn: tuple[str, list[set[int]], bool], now: int
) -> None:
    """Against the rules said once more: days are tried one by one, and the first time of a day that fits is taken."""
    text, (seconds, minutes, hours, days, months, weekdays), day_and = drawn
    start = datetime.fromtimestamp(now, UTC)
    expected = None
    for ahead in range(5 * 366):
        day = (start + timedelta(days=ahead)).replace(hour=0, minute=0, second=0)
        of_month, of_week = day.day in days, day.isoweekday() % 7 in weekdays
        if day.month not in months or not (of_month and of_week if day_and else of_month or of_week):
            continue
        times = (
            day.replace(hour=h, minute=m, second=s)
            for h in sorted(hours)
            for m in sorted(minutes)
            for s in sorted(seconds)
        )
        expected = next((time for time in times if time > start), None)
        if expected:
            break
    found = schedule.parse(text, "UTC").after(now * SECOND)
    assert found == (int(expected.timestamp()) * SECOND if expected else 0)


@pytest.fixture
def colony(tmp_path: Path) -> Iterator[Colony]:
    colony = Colony(tmp_path)
    colony.hire("w")
    colony.fire()
    yield colony
    colony.close()


W = executor_id("w")


def workflow(colonyname: str = NAME) -> str:
    node = {"nodename": "n", "funcname": "f", "conditions": {"executortype": "cli"}}
    return json.dumps({"colonyname": colonyname, "functionspecs": [node]})


def add(colony: Colony, name: str = "c", **more: Any) -> str:
    cron = {"name": name, "colonyname": NAME, "workflowspec": workflow(), "interval": -1, **more}
    cronid: str = colony.call(USER, "addcronmsg", cron=cron)["cronid"]
    return cronid


def cron(colony: Colony, cronid: str) -> Any:
    return colony.call(USER, "getcronmsg", cronid=cronid)


def graphs(colony: Colony) -> int:
    ((count,),) = colony.rows("select count(*) from processgraphs")
    return int(count)


def test_an_interval_runs_once_each_time_and_once_after_a_long_absence(colony: Colony) -> None:
    cronid = add(colony, interval=60)
    assert colony.alarm == colony.now + 60 * SECOND
    for runs in (1, 2, 3):
        colony.now = colony.alarm
        colony.fire()
        assert graphs(colony) == runs
    colony.now += 3600 * SECOND
    colony.sweeps = timers.Sweeps(started=colony.now)
    colony.fire()
    assert graphs(colony) == 4
    assert parse_time(cron(colony, cronid)["nextrun"]) == colony.now + 60 * SECOND
    assert colony.alarm == colony.now + 60 * SECOND


def test_a_cron_hands_down_the_outputs_of_the_run_before(colony: Colony) -> None:
    cronid = add(colony, interval=60)
    colony.call(USER, "runcronmsg", cronid=cronid)
    row = colony.assign(W)
    assert row is not None and row.input == "[]"
    colony.call(W, "closesuccessfulmsg", processid=row.processid, out=["x", 1])
    colony.call(USER, "runcronmsg", cronid=cronid)
    row = colony.assign(W)
    assert row is not None and row.input == '["x",1]'


@pytest.mark.parametrize("end", ["close", "cancel", "remove"])
def test_waiting_for_the_run_before_ends_with_it(colony: Colony, end: str) -> None:
    cronid = add(colony, interval=60, waitforprevprocessgraph=True)
    colony.now = colony.alarm
    colony.fire()
    before = cron(colony, cronid)["prevprocessgraphid"]
    colony.now += 61 * SECOND
    assert colony.fire() == 0
    assert graphs(colony) == 1
    assert colony.call(USER, "runcronmsg", cronid=cronid)["prevprocessgraphid"] == before
    assert graphs(colony) == 1
    if end == "close":
        row = colony.assign(W)
        assert row is not None
        colony.call(W, "closesuccessfulmsg", processid=row.processid)
    else:
        colony.call(USER, f"{end}processgraphmsg", processgraphid=before)
    assert colony.alarm == colony.now
    colony.fire()
    assert cron(colony, cronid)["prevprocessgraphid"] != before


def test_a_start_in_1970_and_the_time_that_comes_later_start_nothing_twice(tmp_path: Path) -> None:
    colony = Colony(tmp_path)
    try:
        colony.now = 100 * SECOND
        colony.sweeps = timers.Sweeps(started=colony.now)
        daily, minutely = add(colony, "daily", cronexpression="0 0 3 * * *"), add(colony, "minutely", interval=60)
        colony.now += 30 * SECOND
        colony.fire()
        years = 50 * 365 * 86_400 * SECOND
        colony.now += years
        colony.commit(lambda tx: timers.clock_stepped(tx, colony.rules, colony.sweeps, years))
        colony.fire()
        assert graphs(colony) == 0
        assert parse_time(cron(colony, minutely)["nextrun"]) == colony.now + 30 * SECOND
        assert colony.now < parse_time(cron(colony, daily)["nextrun"]) <= colony.now + 86_400 * SECOND
        back = -3600 * SECOND
        colony.now += back
        colony.commit(lambda tx: timers.clock_stepped(tx, colony.rules, colony.sweeps, back))
        assert parse_time(cron(colony, minutely)["nextrun"]) == colony.now + 30 * SECOND
    finally:
        colony.close()


def test_after_a_start_no_cron_lies_further_ahead_than_its_rule_says(colony: Colony) -> None:
    cronid = add(colony, interval=60)
    colony.now -= 86_400 * SECOND
    colony.sweeps = timers.Sweeps(started=colony.now)
    colony.fire()
    assert parse_time(cron(colony, cronid)["nextrun"]) == colony.now + 60 * SECOND


def test_a_cron_that_cannot_start_harms_nobody_and_tries_at_its_next_time(colony: Colony) -> None:
    node = {"nodename": "n", "funcname": "f", "conditions": {"executortype": "cli", "cpu": "many"}}
    fine = {"nodename": "a", "funcname": "f", "conditions": {"executortype": "cli"}}
    broken = add(
        colony, "broken", interval=60, workflowspec=json.dumps({"colonyname": NAME, "functionspecs": [fine, node]})
    )
    add(colony, "fine", interval=60)
    colony.now = colony.alarm
    colony.fire()
    assert graphs(colony) == 1
    assert colony.rows("select count(*) from processes") == [(1,)]
    assert parse_time(cron(colony, broken)["nextrun"]) == colony.now + 60 * SECOND


def test_random_runs_lie_inside_the_interval(colony: Colony) -> None:
    cronids = [add(colony, f"c{n}", interval=1000, random=True) for n in range(5)]
    instants = {parse_time(cron(colony, cronid)["nextrun"]) for cronid in cronids}
    assert len(instants) == 5
    assert all(colony.now < instant <= colony.now + 1000 * SECOND for instant in instants)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"interval": 0}, "Cron interval must be -1"),
        ({"interval": -5}, "Cron interval must be -1"),
        ({"cronexpression": "* * * * *"}, "expected exactly 6 fields"),
        ({"cronexpression": "0 0 0 31 2 *"}, "matches no instant"),
        ({"cronexpression": "@daily", "random": True}, "Random cron is only supported"),
        ({"interval": 5, "workflowspec": "not JSON"}, "The workflow spec is not valid"),
        ({"interval": 5, "workflowspec": "null"}, "The workflow spec is not valid"),
        ({"interval": 5, "name": "a:b"}, "must not contain a colon"),
        ({"interval": 5, "name": "taken"}, "Cron with name <taken> in Colony <dev> already exists"),
    ],
)
def test_what_cannot_be_a_cron_is_refused(colony: Colony, more: dict[str, Any], text: str) -> None:
    add(colony, "taken", interval=60)
    before = colony.dump()
    with pytest.raises(BadRequest, match=text):
        add(colony, **more)
    assert colony.dump() == before


def test_only_members_run_a_cron_and_its_colony_is_the_checked_one(colony: Colony) -> None:
    cronid = add(colony, interval=60, workflowspec=workflow("another"))
    with pytest.raises(ColonyError, match="Access denied"):
        colony.call(STRANGER, "runcronmsg", cronid=cronid)
    assert graphs(colony) == 0
    colony.call(USER, "runcronmsg", cronid=cronid)
    assert colony.rows("select colonyname from processgraphs") == [(NAME,)]
    colony.call(USER, "removecronmsg", cronid=cronid)
    assert colony.rows("select * from crons") == []
