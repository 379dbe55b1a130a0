"""Laws of a write: a request is its records one by one; a retry changes nothing; the highest version stands."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from request_bodies import dimensions, measure_values
from stored_records import NOW_MS, IngestFolder, Told

from headwater.model.limits import Limits
from headwater.model.table import Retention

SMALL = Limits(dimensions_per_table=3, measure_names_per_table=3, attributes_per_table=3)
_tables = count(1)

NAMES = st.sampled_from(["a", "b", "x", "y"])
DIMENSION_NAMES = st.sampled_from(["host", "a", "b", "x"])
TEXTS = {
    "DOUBLE": st.sampled_from(["1", "1.0", "-0.0", "0"]),
    "BIGINT": st.sampled_from(["1", "2"]),
    "VARCHAR": st.sampled_from(["1", "é"]),
    "BOOLEAN": st.sampled_from(["true", "True", "false"]),
}
KINDS = st.sampled_from(["DOUBLE", "DOUBLE", "DOUBLE", "BIGINT", "VARCHAR", "BOOLEAN"])
VALUES = KINDS.flatmap(lambda kind: st.tuples(st.just(kind), TEXTS[kind]))


@st.composite
def any_record(draw: st.DrawFn) -> dict[str, Any]:
    """Of few series, columns and times, so that records meet and names collide."""
    members: dict[str, Any] = {
        "Dimensions": dimensions(
            **draw(
                st.dictionaries(st.sampled_from(["host", "a", "b", "x"]), st.sampled_from("12"), min_size=1, max_size=2)
            )
        ),
        "MeasureName": draw(NAMES),
        "Time": str(NOW_MS + draw(st.sampled_from([0, 0, 0, 1, -10 * 3_600_000, -99 * 3_600_000]))),
        "Version": draw(st.integers(1, 3)),
    }
    if draw(st.booleans()):
        kind, text = draw(VALUES)
        return members | {"MeasureValueType": kind, "MeasureValue": text}
    values = draw(st.dictionaries(NAMES, VALUES, min_size=1, max_size=2))
    parts = [(name, text, kind) for name, (kind, text) in values.items()]
    return members | {"MeasureValueType": "MULTI", "MeasureValues": measure_values(*parts)}


REQUESTS = st.lists(st.lists(any_record(), min_size=1, max_size=8), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IngestFolder]:
    made = IngestFolder(tmp_path_factory.mktemp("ingest"), limits=SMALL)
    yield made
    made.close()


def new_table(folder: IngestFolder) -> Any:
    return folder.new_table(f"t{next(_tables)}", Retention(6, 1), magnetic_writes=True)


def one_by_one(folder: IngestFolder, records: list[dict[str, Any]], table: str) -> Told:
    return [(index, *rest) for index, one in enumerate(records) for _, *rest in folder.told(one, table=table)]


@settings(max_examples=60, deadline=None)
@given(requests=REQUESTS)
def test_a_request_is_its_records_one_after_the_other(
    folder: IngestFolder, requests: list[list[dict[str, Any]]]
) -> None:
    together, alone = new_table(folder), new_table(folder)
    for records in requests:
        assert folder.told(*records, table=together.name) == one_by_one(folder, records, alone.name)
    assert folder.stored(together) == folder.stored(alone)
    # A record that loses by its version may leave a column behind if it was not alone.
    assert set(folder.columns(together)) >= set(folder.columns(alone))


@settings(max_examples=40, deadline=None)
@given(records=st.lists(any_record(), min_size=1, max_size=8))
def test_a_retry_changes_nothing(folder: IngestFolder, records: list[dict[str, Any]]) -> None:
    table = new_table(folder)
    folder.told(*records, table=table.name)
    stored, columns = folder.stored(table), folder.columns(table)
    for _ in range(2):
        folder.told(*records, table=table.name)
        assert (folder.stored(table), folder.columns(table)) == (stored, columns)


@settings(max_examples=60, deadline=None)
@given(versions=st.permutations([1, 2, 3, 4, 5]), parts=st.integers(1, 5))
def test_in_whatever_order_versions_come_the_highest_stands(
    folder: IngestFolder, versions: list[int], parts: int
) -> None:
    table = new_table(folder)
    same = {"Dimensions": dimensions(host="1"), "MeasureName": "a", "Time": str(NOW_MS)}
    records = [same | {"Version": version, "MeasureValue": str(version)} for version in versions]
    for part in range(parts):
        if records[part::parts]:
            folder.told(*records[part::parts], table=table.name)
    ((_, values),) = folder.stored(table).items()
    assert values == {"measure_value::double": (5.0).hex()}
