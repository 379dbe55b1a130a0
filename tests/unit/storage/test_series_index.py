"""The index of series: what is registered is found again, whatever form it is kept in and whatever hashes collide."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.model.scan import DimensionIn
from headwater.model.series import Series
from headwater.storage import arrays, texts
from headwater.storage.arrays import Growable, Places, narrowed, widened
from headwater.storage.keys import SeriesKeys, pack_keys, unpack_keys
from headwater.storage.series import SeriesIndex
from headwater.storage.texts import NONE, Coded, Texts

WORDS = st.sampled_from(["", "a", "b", "ä", "long " * 20, "\0"])
NAMES = st.permutations(["host", "zone", "rack"]).flatmap(lambda names: st.integers(1, 3).map(lambda n: names[:n]))
SERIES = st.builds(
    lambda measure, names, values: Series(measure, tuple(zip(names, values, strict=False))),
    WORDS,
    NAMES,
    st.lists(WORDS, min_size=3, max_size=3),
)


@pytest.fixture(params=["in Python", "in Arrow", "in Arrow, with equal hashes"])
def _form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How texts and places are kept: as few are, as many are, and as those are whose hashes are the same."""
    if request.param != "in Python":
        monkeypatch.setattr(texts, "_RECENT_MIN", 2)
        monkeypatch.setattr(arrays, "_RECENT_MIN", 2)
    if request.param == "in Arrow, with equal hashes":
        monkeypatch.setattr(texts, "_hashes", lambda some: np.array([len(text) % 2 for text in some], np.int64))
        monkeypatch.setattr("headwater.model.series.series_id", lambda name, dimensions: len(dimensions))


def filled(index: SeriesIndex, sets: list[list[Series]]) -> dict[tuple[str, tuple[tuple[str, str], ...]], int]:
    """Register what is not there yet, set by set; the ordinal each key should have."""
    expected: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
    for some in sets:
        distinct = {one.key: one for one in some}
        new = [one for key, one in distinct.items() if key not in expected]
        found = index.find(list(distinct.values())).tolist()
        assert found == [expected.get(key, -1) for key in distinct]
        if new:
            expected |= zip([one.key for one in new], index.register(new).tolist(), strict=True)
    return expected


@pytest.mark.usefixtures("_form")
@pytest.mark.parametrize("seed", range(5))
def test_what_is_registered_is_found_by_equal_keys_and_nothing_else_is(seed: int):
    random, index = np.random.default_rng(seed), SeriesIndex()
    numbers: Iterator[int] = count()

    def one() -> Series:
        names = random.permutation(["host", "zone", "rack"])[: random.integers(1, 4)]
        return Series(f"m{random.integers(3)}", tuple((str(name), f"v{random.integers(4)}") for name in names))

    sets = [[one() for _ in range(10)] + [Series("x", (("host", f"h{next(numbers)}"),))] for _ in range(15)]
    expected = filled(index, sets)
    again = [Series(*one.key) for some in sets for one in some]
    assert index.find(again).tolist() == [expected[one.key] for one in again]
    assert index.find([Series("x", (("host", "nobody"),)), Series("new", (("host", "h0"),))]).tolist() == [-1, -1]
    assert len(set(index.ids.view.tolist())) == len(index) == len(expected)
    keys = index.keys(np.arange(len(index), dtype=np.int32))
    assert [keys.series(row).key for row in range(len(keys))] == list(expected)
    copy = SeriesIndex.of(index.arrays(len(index)))
    assert copy.find(again).tolist() == index.find(again).tolist()
    assert copy.find([Series("x", (("host", "nobody"),))]).tolist() == [-1]
    assert copy.register([Series("x", (("host", "nobody"),))]).tolist() == [len(index)]


@pytest.mark.usefixtures("_form")
def test_conditions_choose_the_series_that_meet_them_all():
    index = SeriesIndex()
    series = [Series("m", (("host", f"h{i}"), ("zone", f"z{i % 3}"))) for i in range(9)] + [
        Series("m", (("zone", "z1"),))
    ]
    for one in series:
        index.register([one])

    def chosen(**conditions: list[str]) -> list[int]:
        mask = index.select([DimensionIn(name, frozenset(values)) for name, values in conditions.items()])
        assert mask is not None
        return np.flatnonzero(mask).tolist()

    assert chosen(zone=["z1"]) == [1, 4, 7, 9]
    assert chosen(zone=["z1"], host=["h1", "h4", "h5", "nobody"]) == [1, 4]
    assert chosen(zone=["nobody"]) == []
    assert chosen(nothing=["z1"]) == []
    assert chosen(measure_name=["m"]) == list(range(10))


@pytest.mark.usefixtures("_form")
def test_a_column_has_the_value_of_each_row_and_null_for_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(texts, "_WHOLE_MAX", 3)
    coded = Coded()
    coded.put(np.arange(8, dtype=np.int32), coded.texts.add([f"t{i}" for i in range(8)]))
    coded.put(np.array([3], np.int32), np.array([NONE], np.int32))
    column = coded.column(np.array([7, 3, 0, 7, 11], np.int32))
    assert column.to_pylist() == ["t7", None, "t0", "t7", None]
    assert len(column.dictionary) <= 5
    assert coded.column(np.zeros(0, np.int32)).to_pylist() == []


@given(st.lists(SERIES, max_size=20))
def test_packed_keys_are_the_same_keys(series: list[Series]):
    keys = unpack_keys(pack_keys(SeriesKeys.of(series)))
    assert [keys.key(row) for row in range(len(keys))] == [(one.measure_name, one.sent) for one in series]
    assert keys.hashes.tolist() == [one.id for one in series]


@given(st.lists(st.integers(0, 2**31 - 1)))
def test_narrowed_codes_are_the_same_codes(codes: list[int]):
    assert widened(narrowed(codes).tobytes(), len(codes)).tolist() == codes


@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=30), max_size=8), st.integers(1, 40))
@settings(max_examples=50)
def test_places_find_every_key_that_was_added(sets: list[list[int]], kept_apart: int):
    places, expected = Places(), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "_RECENT_MIN", kept_apart)
        for keys in sets:
            new = [key for key in dict.fromkeys(keys) if key not in expected]
            added = np.arange(len(expected), len(expected) + len(new), dtype=np.int32)
            places.add(np.array(new, np.int64), added)
            expected |= zip(new, added.tolist(), strict=True)
    asked = [*expected, *(key ^ 1 for key in expected)]
    assert places.find(np.array(asked, np.int64)).tolist() == [expected.get(key, -1) for key in asked]


def test_a_view_stays_what_it_was_when_the_array_grows():
    growable = Growable(np.int64, -1)
    growable.extend(np.arange(50))
    view = growable.view
    growable.extend(np.arange(1_000))
    assert view.tolist() == list(range(50))
    assert growable.view.tolist() == [*range(50), *range(1_000)]


@pytest.mark.usefixtures("_form")
def test_texts_keep_their_codes():
    some = Texts()
    words = [f"word {i % 40}" for i in range(100)]
    codes = [int(some.add([word])[0]) for word in words]
    assert some.find(words).tolist() == codes
    assert some.take(np.array(codes, np.int32)) == words
    assert some.dictionary().to_pylist() == list(dict.fromkeys(words))
    assert some.find(["nobody"]).tolist() == [NONE]
    assert len(some) == 40
