"""Schedule expressions: each corner of the grammar beside an example, and the laws of what comes next."""

from __future__ import annotations

import calendar
import random
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import Invalid
from headwater.model.schedule import Schedule

NEW_YEAR_2025_S = 1_735_689_600
"""A Wednesday."""


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def slots(expression: str, count: int, after: str = "2025-01-01T00:00") -> list[str]:
    """The first slots later than an instant, as far as there are any."""
    schedule, found, time_s = Schedule.parse(expression), [], seconds(after)
    while len(found) < count and (slot_s := schedule.next_after(time_s)) is not None:
        found.append(f"{datetime.fromtimestamp(slot_s, UTC):%Y-%m-%d %H:%M}")
        time_s = slot_s
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cron(0/5 * * * ? *)", ["2025-01-01 00:05", "2025-01-01 00:10", "2025-01-01 00:15"]),
        ("cron(1/10 * * * ? *)", ["2025-01-01 00:01", "2025-01-01 00:11", "2025-01-01 00:21"]),
        ("cron(*/25 * * * ? *)", ["2025-01-01 00:25", "2025-01-01 00:50", "2025-01-01 01:00"]),
        ("cron(50-55/2 1,3 * * ? *)", ["2025-01-01 01:50", "2025-01-01 01:52", "2025-01-01 01:54", "2025-01-01 03:50"]),
        ("cron(30,0 12 * * ? *)", ["2025-01-01 12:00", "2025-01-01 12:30", "2025-01-02 12:00"]),
        ("cron(0 18 ? * MON-FRI *)", ["2025-01-01 18:00", "2025-01-02 18:00", "2025-01-03 18:00", "2025-01-06 18:00"]),
        ("cron(0 18 ? * 2-6 *)", ["2025-01-01 18:00", "2025-01-02 18:00", "2025-01-03 18:00", "2025-01-06 18:00"]),
        ("cron(0 0 ? * sat-mon *)", ["2025-01-04 00:00", "2025-01-05 00:00", "2025-01-06 00:00", "2025-01-11 00:00"]),
        ("cron(0 22-1 1 1 ? *)", ["2025-01-01 01:00", "2025-01-01 22:00", "2025-01-01 23:00", "2026-01-01 00:00"]),
        ("cron(0 8 1 * ? *)", ["2025-01-01 08:00", "2025-02-01 08:00"]),
        ("cron(0 0 1 JAN,jul ? *)", ["2025-07-01 00:00", "2026-01-01 00:00"]),
        ("cron(0 0 1 NOV-FEB/2 ? *)", ["2025-11-01 00:00", "2026-01-01 00:00", "2026-11-01 00:00"]),
        # The last day of the month, and of the week.
        ("cron(0 0 L * ? *)", ["2025-01-31 00:00", "2025-02-28 00:00", "2025-03-31 00:00", "2025-04-30 00:00"]),
        ("cron(0 0 L 2 ? *)", ["2025-02-28 00:00", "2026-02-28 00:00", "2027-02-28 00:00", "2028-02-29 00:00"]),
        ("cron(0 0 L-3 * ? *)", ["2025-01-28 00:00", "2025-02-25 00:00"]),
        ("cron(0 0 ? * L *)", ["2025-01-04 00:00", "2025-01-11 00:00"]),
        ("cron(15 10 ? * 6L 2025-2026)", ["2025-01-31 10:15", "2025-02-28 10:15"]),
        # The weekday nearest to a day, which stays within the month: 2025-02-01 is a Saturday, 2025-08-31 a Sunday.
        ("cron(0 9 3W * ? *)", ["2025-01-03 09:00", "2025-02-03 09:00", "2025-03-03 09:00"]),
        ("cron(0 9 1W * ? *)", ["2025-01-01 09:00", "2025-02-03 09:00", "2025-03-03 09:00"]),
        ("cron(0 9 31W 8 ? 2025)", ["2025-08-29 09:00"]),
        ("cron(0 9 15W 2,3 ? 2025)", ["2025-02-14 09:00", "2025-03-14 09:00"]),
        ("cron(0 9 LW 8,11 ? 2025)", ["2025-08-29 09:00", "2025-11-28 09:00"]),
        # The second Tuesday; months without a fifth Wednesday are passed over.
        ("cron(0 9 ? * 3#2 *)", ["2025-01-14 09:00", "2025-02-11 09:00"]),
        ("cron(0 9 ? * WED#5 *)", ["2025-01-29 09:00", "2025-04-30 09:00"]),
        ("cron(0 0 29 2 ? *)", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("cron(0 0 31 * ? *)", ["2025-01-31 00:00", "2025-03-31 00:00", "2025-05-31 00:00"]),
        ("cron(0 0 1 1 ? 2025-2031/3)", ["2028-01-01 00:00", "2031-01-01 00:00"]),
        ("cron(59 23 31 12 ? 2199)", ["2199-12-31 23:59"]),
        ("cron( 0  12 * * ? * )", ["2025-01-01 12:00"]),
    ],
)
def test_what_a_cron_expression_means(expression: str, expected: list[str]) -> None:
    assert slots(expression, len(expected)) == expected


@pytest.mark.parametrize("expression", ["cron(0 0 1 1 ? 2024)", "cron(0 0 31 2 ? *)", "cron(0 0 30W 2 ? *)"])
def test_a_schedule_may_have_no_slot_any_more(expression: str) -> None:
    assert slots(expression, 1) == []


def test_the_last_slot_is_followed_by_none() -> None:
    assert slots("cron(0 0 1 1 ? 2025-2026)", 9) == ["2026-01-01 00:00"]


@pytest.mark.parametrize(
    "expression",
    [
        "cron(0 12 * * * *)",
        "cron(0 12 ? * ? *)",
        "cron(0 12 1 * 2 *)",
        "cron(0 12 * * ?)",
        "cron(0 0 12 * * ? *)",
        "cron()",
        "cron(60 * * * ? *)",
        "cron(* 24 * * ? *)",
        "cron(* * 0 * ? *)",
        "cron(* * 32 * ? *)",
        "cron(* * * 13 ? *)",
        "cron(* * ? * 0 *)",
        "cron(* * ? * 8 *)",
        "cron(* * * * ? 1969)",
        "cron(* * * * ? 2200)",
        "cron(* * * * ? 2027-2026)",
        "cron(*/0 * * * ? *)",
        "cron(/5 * * * ? *)",
        "cron(5-1- * * * ? *)",
        "cron(1,,2 * * * ? *)",
        "cron(-1 * * * ? *)",
        "cron(1.5 * * * ? *)",
        "cron(? * * * ? *)",
        "cron(L * * * ? *)",
        "cron(* * 3W,4W * ? *)",
        "cron(* * W * ? *)",
        "cron(* * L-31 * ? *)",
        "cron(* * ? * 3#6 *)",
        "cron(* * ? * 3#0 *)",
        "cron(* * ? * 3#1,6#3 *)",
        "cron(* * ? * MON,#2 *)",
        "cron(* * ? * FUNDAY *)",
        "cron(* * * MON ? *)",
        "cron(0 12 * * ? *",
        "cron 0 12 * * ? *",
        "CRON(0 12 * * ? *)",
        "0 12 * * ? *",
        "at(2025-01-01T00:00:00)",
        "rate(0 minutes)",
        "rate(-5 minutes)",
        "rate(1.5 hours)",
        "rate(5 seconds)",
        "rate(1 week)",
        "rate(minutes)",
        "rate(5minutes)",
        "rate(5 minutes 3 hours)",
        "rate()",
        " ",
    ],
)
def test_what_is_no_schedule(expression: str) -> None:
    with pytest.raises(Invalid) as raised:
        Schedule.parse(expression)
    assert raised.value.message.startswith(f"The schedule expression {expression} is invalid: ")


def test_a_message_names_the_field() -> None:
    with pytest.raises(Invalid) as raised:
        Schedule.parse("cron(0 25 * * ? *)")
    assert raised.value.message == (
        "The schedule expression cron(0 25 * * ? *) is invalid: 25 is not valid for the field hours."
    )


@pytest.mark.parametrize(
    ("expression", "period_s"),
    [
        ("rate(1 minute)", 60),
        ("rate(1 minutes)", 60),
        ("rate(5 minute)", 300),
        ("rate(90 minutes)", 5_400),
        ("rate(1 hour)", 3_600),
        ("rate(12 hours)", 43_200),
        ("rate(1 day)", 86_400),
        ("rate(7 days)", 604_800),
    ],
)
def test_a_rate_counts_from_the_minute_of_creation(expression: str, period_s: int) -> None:
    schedule = Schedule.parse(expression, NEW_YEAR_2025_S + 59)
    assert schedule.next_after(NEW_YEAR_2025_S + 59) == NEW_YEAR_2025_S + period_s
    assert schedule.next_after(NEW_YEAR_2025_S + period_s - 1) == NEW_YEAR_2025_S + period_s
    assert schedule.next_after(NEW_YEAR_2025_S + period_s) == NEW_YEAR_2025_S + 2 * period_s
    # A clock that was set back finds no slot before the first.
    assert schedule.next_after(0) == NEW_YEAR_2025_S + period_s


def test_a_rate_ends_before_the_year_2200() -> None:
    assert Schedule.parse("rate(9999999999 days)").next_after(0) is None


def test_the_text_is_what_was_given() -> None:
    assert Schedule.parse("cron(0/5 * * * ? *)").text == "cron(0/5 * * * ? *)"


# What follows asks a second implementation, one that is slow and plain: does this minute fit?

LISTS = {
    "minutes": st.lists(st.integers(0, 59), min_size=1, max_size=3),
    "hours": st.lists(st.integers(0, 23), min_size=1, max_size=3),
    "days": st.lists(st.integers(1, 31), min_size=1, max_size=3),
    "months": st.lists(st.integers(1, 12), min_size=1, max_size=12),
    "weekdays": st.lists(st.integers(1, 7), min_size=1, max_size=3),
}


@st.composite
def crons(draw: st.DrawFn) -> tuple[str, dict[str, list[int]]]:
    """An expression of lists, and its numbers; of the two day fields it has one."""
    numbers = {name: draw(lists) for name, lists in LISTS.items()}
    del numbers[draw(st.sampled_from(["days", "weekdays"]))]
    words = {name: ",".join(map(str, values)) for name, values in numbers.items()}
    fields = [words.get(name, "?") for name in ("minutes", "hours", "days", "months", "weekdays")]
    return f"cron({' '.join(fields)} *)", numbers


def fits(numbers: dict[str, list[int]], time_s: int) -> bool:
    at = datetime.fromtimestamp(time_s, UTC)
    weekday = (calendar.weekday(at.year, at.month, at.day) + 1) % 7 + 1
    own = {"minutes": at.minute, "hours": at.hour, "days": at.day, "months": at.month, "weekdays": weekday}
    return at.second == 0 and all(own[name] in values for name, values in numbers.items())


@given(crons(), st.integers(0, 4_000_000_000))
def test_the_next_slot_is_later_and_fits(cron: tuple[str, dict[str, list[int]]], time_s: int) -> None:
    expression, numbers = cron
    slot_s = Schedule.parse(expression).next_after(time_s)
    # No month of the list may have such a day.
    if slot_s is not None:
        assert slot_s > time_s
        assert fits(numbers, slot_s)


@given(crons(), st.integers(0, 4_000_000_000), st.randoms(use_true_random=False))
def test_no_slot_lies_between(cron: tuple[str, dict[str, list[int]]], time_s: int, randomness: random.Random) -> None:
    """Some minutes between are looked at, and all of the hours at both ends."""
    expression, numbers = cron
    schedule = Schedule.parse(expression)
    slot_s = schedule.next_after(time_s)
    end_s = slot_s if slot_s is not None else time_s + 10 * 366 * 86_400
    first_s = time_s // 60 * 60 + 60
    near = {*range(first_s, min(first_s + 3_600, end_s), 60), *range(max(end_s - 3_600, first_s), end_s, 60)}
    far = {randomness.randrange(first_s, end_s) // 60 * 60 for _ in range(50)} if first_s < end_s else set()
    assert not [minute_s for minute_s in near | far if minute_s >= first_s and fits(numbers, minute_s)]


@given(st.integers(0, 4_000_000_000), st.integers(0, 4_000_000_000), st.integers(1, 100_000))
def test_slots_of_a_rate_are_a_period_apart(start_s: int, time_s: int, minutes: int) -> None:
    schedule = Schedule.parse(f"rate({minutes} minutes)", start_s)
    found = [time_s]
    for _ in range(3):
        slot_s = schedule.next_after(found[-1])
        assert slot_s is not None
        found.append(slot_s)
    assert found[1] > time_s
    assert (found[1] - start_s // 60 * 60) % (minutes * 60) == 0
    assert {later - earlier for earlier, later in pairwise(found[1:])} == {minutes * 60}


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    for expression in (text, f"cron({text})", f"rate({text})"):
        try:
            Schedule.parse(expression).next_after(NEW_YEAR_2025_S)
        except Invalid:
            continue
