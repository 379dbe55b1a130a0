"""Scans that ask what texts look like: from memory, from files and from decoded columns nothing is left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from headwater.engine.engine import Engine
from headwater.model.scan import DimensionIn, Leading, Scan
from headwater.model.series import Series
from headwater.model.text_pattern import TextPattern, like, regular, starting_with
from headwater.storage import scan as scans
from headwater.storage import texts
from support.stores import NOW_NS, StoreFolder, records

KEY = [{"Type": "DIMENSION", "Name": "host", "EnforcementInRecord": "OPTIONAL"}]
HOSTS = [f"{kind}-{number}{end}" for kind in ("web", "db", "é") for number in range(30) for end in ("", "\n", "😀")]
SERIES = [
    *(Series("cpu", (("host", host), ("zone", f"z{at % 3}"))) for at, host in enumerate(HOSTS)),
    Series("cpu", (("zone", "z0"),)),
    Series("ram", (("zone", "z1"),)),
]
PATTERNS = {
    "host LIKE 'web-1%'": like("web-1%"),
    "host LIKE '%-2_'": like("%-2_"),
    "host LIKE 'é%'": like("é%"),
    "host LIKE 'none%'": like("none%"),
    "host LIKE '%'": like("%"),
    "regexp_matches(host, '^db-[0-9]+$')": regular("^db-[0-9]+$"),
    "regexp_matches(host, '[357]')": regular("[357]"),
    "starts_with(host, 'db-')": starting_with("db-"),
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with closing(Engine(threads=1, memory_bytes=1 << 30)) as made:
        yield made


@pytest.fixture(params=["by measure", "by host"])
def folder(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreFolder]:
    """Two blocks, one of them of the first series alone, and rows in memory; texts are packed early."""
    monkeypatch.setattr(texts, "_RECENT_MIN", 16)
    monkeypatch.setattr("headwater.storage.block_file.ROW_GROUP_ROWS", 64)
    opened = StoreFolder(tmp_path)
    opened.table = opened.catalog.create_table("db", "p", None, None, KEY if request.param == "by host" else None).id
    random = Random(1)
    for start, of_series in ((0, SERIES), (100, SERIES[:40]), (200, SERIES[20:])):
        batch = [(one, NOW_NS + start + step, 1, random.random()) for one in of_series for step in range(3)]
        opened.write(records(batch))
        if start < 200:
            opened.store.flush()
    yield opened
    opened.close()


def answer(engine: Engine, scan: Scan, condition: str) -> list[tuple[str, int]]:
    with closing(scan):
        found = engine.run(f"SELECT host, time FROM s WHERE {condition}", {"s": scan}, timeout_s=60)
    return sorted(zip(*(column.to_pylist() for column in found.columns), strict=True))


def asked(*patterns: TextPattern | str | None, values: frozenset[str] = frozenset()) -> DimensionIn:
    return DimensionIn("host", values, frozenset(each for each in patterns if isinstance(each, TextPattern)))


@pytest.mark.parametrize("decoded_bytes", [0, 64 << 20])
@pytest.mark.parametrize("hinted", [2, 256])
def test_no_row_that_matches_is_left_out(
    folder: StoreFolder, engine: Engine, decoded_bytes: int, hinted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "HINTED_VALUES", hinted)
    folder.settings = replace(folder.settings, decoded_cache_bytes=decoded_bytes)
    folder.reopen()
    for condition, pattern in PATTERNS.items():
        whole = answer(engine, folder.scan(), condition)
        scan = folder.scan(dimensions=(asked(pattern),))
        assert (scan.blocks == ()) == (decoded_bytes > 0 or not whole)
        if decoded_bytes:
            assert sum(table.num_rows for table in (*scan.memory, *scan.decoded)) == len(whole)
        assert answer(engine, scan, condition) == whole


def test_one_of_several_is_enough_and_two_conditions_hold_both(folder: StoreFolder, engine: Engine) -> None:
    either = asked(like("web-1%"), regular("^db-3$"), values=frozenset({"é-7"}))
    condition = "(host LIKE 'web-1%' OR host = 'db-3' OR host = 'é-7')"
    assert answer(engine, folder.scan(dimensions=(either,)), condition) == answer(engine, folder.scan(), condition)
    scan = folder.scan(dimensions=(either, asked(like("%9"))))
    assert {host for host, _ in answer(engine, scan, "true")} == {"web-19"}


def test_blocks_that_are_sorted_by_it_are_told_what_is_wanted(
    folder: StoreFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.settings = replace(folder.settings, decoded_cache_bytes=0)
    folder.reopen()
    is_sorted = folder.catalog.table("db", "p").partition_dimension == "host"
    hosts = tuple(sorted(host for host in HOSTS if host.startswith("db-1")))
    monkeypatch.setattr(scans, "HINTED_VALUES", len(hosts))
    with closing(folder.scan(dimensions=(asked(like("db-1%")),))) as scan:
        expected = Leading("host", hosts[0], hosts[-1], hosts) if is_sorted else None
        # Where blocks are sorted by it, the second one has no such host.
        assert [part.leading for part in scan.blocks] == [expected] * (1 if is_sorted else 2)
    monkeypatch.setattr(scans, "HINTED_VALUES", len(hosts) - 1)
    with closing(folder.scan(dimensions=(asked(like("db-1%")),))) as scan:
        expected = Leading("host", hosts[0], hosts[-1], None) if is_sorted else None
        assert {part.leading for part in scan.blocks} == {expected}
    monkeypatch.setattr(scans, "LISTED_SERIES", 5)
    with closing(folder.scan(dimensions=(asked(like("db-1%")),))) as scan:
        assert {part.leading for part in scan.blocks} == {None}
