"""The demo's proofs: what was acknowledged is there, with the values that were sent.

Compares the journal of acknowledged requests with what queries answer. A difference is a `CheckFailed`, which ends the
demo; nothing here repairs or prints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headwater.cli.demo_data import RECORDS_PER_REQUEST, Devops
from headwater.cli.demo_load import LOADERS, Journal
from headwater.cli.demo_queries import RECORDS_PER_HOST, records_question

Rows = list[list[str | None]]
Ask = Callable[[str], Rows]
"""All rows of a query, values as the service writes them; NULL is None."""


class CheckFailed(Exception):
    """The server did not keep a promise; says which."""


def check_after_crash(ask: Ask, journal: Journal) -> int:
    """Compare what the restarted server has with the journal, before anything else is sent.

    Returns how many records are there although their acknowledgement was never heard: requests that were under way.
    """
    found = _records_per_host(ask)
    for host, acknowledged in journal.records_of.items():
        if found[host] < acknowledged:
            raise CheckFailed(f"{host} had {acknowledged} acknowledged records at the kill and has {found[host]} after")
    extra = found.total() - journal.records
    if extra > LOADERS * RECORDS_PER_REQUEST:
        raise CheckFailed(f"{extra} records more than were acknowledged: more than can have been under way")
    return extra


def check_counts(ask: Ask, workload: Devops, journal: Journal) -> None:
    """Every host has the records that were acknowledged, each once, and those are all of the workload."""
    if journal.records != workload.records:
        raise CheckFailed(f"{journal.records} records were acknowledged, not {workload.records}")
    found = _records_per_host(ask)
    if wrong := {host for host in found | journal.records_of if found[host] != journal.records_of[host]}:
        host = min(wrong)
        raise CheckFailed(f"{host} has {found[host]} records, {journal.records_of[host]} were acknowledged")


def check_values(ask: Ask, workload: Devops, numbers: Sequence[int]) -> int:
    """Every record of the numbered requests reads back as it was sent; returns how many values were compared."""
    compared = 0
    for number in numbers:
        request = workload.request(number)
        sent = [_numbers([record["Time"], *_values(record)]) for record in request.records]
        start_s, end_s = (int(request.records[place]["Time"]) for place in (0, -1))
        if [_numbers(row) for row in ask(records_question(request.series, workload.MEASURES, start_s, end_s))] != sent:
            raise CheckFailed(f"the records of {request.series} in request {number} are not as they were sent")
        compared += len(sent) * len(workload.MEASURES)
    return compared


def check_same(single: Rows, multi: Rows) -> int:
    """The join over single-measure records gives the rows of the multi-measure query; returns how many.

    Both ask for the last 15 minutes, the second query a moment later, so rows may have left the window in between.
    """
    if not single or not multi:
        raise CheckFailed("a video query found no rows")
    start = max(min(row[1] or "" for row in rows) for rows in (single, multi))
    first, second = ({tuple(row) for row in rows if (row[1] or "") >= start} for rows in (single, multi))
    if first != second:
        raise CheckFailed(f"the two video queries differ in {len(first ^ second)} rows")
    return len(first)


def _records_per_host(ask: Ask) -> Counter[str]:
    return Counter({host or "": int(count or 0) for host, count in ask(RECORDS_PER_HOST)})


def _values(record: Mapping[str, Any]) -> list[str]:
    return [value["Value"] for value in record["MeasureValues"]]


def _numbers(texts: Sequence[str | None]) -> tuple[float | None, ...]:
    return tuple(None if text is None else float(text) for text in texts)
