"""The parts of a record that repeat from request to request, judged once and kept: its series and its layout.

Both ways through `validate` use them, so a rule about names is in one place. Pure: the caches hold nothing but
results of functions of their arguments, and are bounded.
Source: write-api.md 2, 6.1, 6.2, 8; texts errors.md 1 and 1.1. The order of checks within a record is a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, count
from typing import NamedTuple

from msgspec import Struct

from headwater.errors import Invalid
from headwater.ingest import reasons
from headwater.ingest.names import check_dimension_name, check_measure_name
from headwater.model.limits import Limits
from headwater.model.record import Layout
from headwater.model.series import Series
from headwater.model.table import MeasureType
from headwater.wire.write_records import Dimensions

MULTI = "MULTI"

SERIES_MAX = 32_768
LAYOUTS_MAX = 1_024
NAME_CHARACTERS_MAX = 256
NAMES_MAX = 256
KEPT_BYTES_MAX = 4_096
"""Bounds of the caches and of what they keep: longer and more than that is rejected by the default limits anyway.

A series shares its texts with the dimension list that `wire` keeps.
"""


class Identity(Struct, frozen=True, eq=False, gc=False):
    """A series, and why its records are rejected whatever else they hold: a limit, or None."""

    series: Series
    dimension_names: frozenset[str]
    over_limit: str | None

    def rejection(self, required_key: str | None) -> str | None:
        """The reason to reject a record of this series, or None. Source: write-api.md 7."""
        if required_key is not None and required_key not in self.dimension_names:
            return reasons.partition_key_missing(required_key)
        return self.over_limit


def identities(
    common: Dimensions, lists: Sequence[Dimensions], measure_names: Sequence[str | None], limits: Limits
) -> list[Identity]:
    """What identifies each record: the common dimensions, then its own, and its measure name. Raises Invalid."""
    names = set(measure_names)
    if len(names) == 1:
        return list(map(_known(common, measure_names[0], limits).__getitem__, lists))
    known = {name: _known(common, name, limits) for name in names}
    return [known[name][own] for own, name in zip(lists, measure_names, strict=True)]


def identity(common: Dimensions, own: Dimensions, measure_name: str | None, limits: Limits) -> Identity:
    """The same of one record."""
    return _known(common, measure_name, limits)[own]


class Known(dict[Dimensions, Identity]):
    """Identities by the record's own dimensions, for given common ones and a measure name. Makes what it lacks."""

    def __init__(self, common: Dimensions, measure_name: str | None, limits: Limits) -> None:
        super().__init__()
        self._made_of = common, measure_name, limits

    def __missing__(self, own: Dimensions) -> Identity:
        common, measure_name, limits = self._made_of
        # Where nothing is common the series shares the tuple that `wire` keeps.
        pairs = common.pairs + own.pairs if common.pairs else own.pairs
        made = identity_of(pairs, measure_name, limits, common.json_bytes + own.json_bytes)
        if own.is_shared:
            self[own] = made
            if next(_additions) % SERIES_MAX == 0:
                # However many of these there are, together they hold no more than that.
                kept_known.cache_clear()
        return made


def _known(common: Dimensions, measure_name: str | None, limits: Limits) -> Known:
    if common.is_shared and len(measure_name or "") <= NAME_CHARACTERS_MAX:
        return kept_known(common, measure_name, limits)
    return Known(common, measure_name, limits)


kept_known = lru_cache(maxsize=SERIES_MAX)(Known)
_additions = count(1)


def identity_of(
    pairs: tuple[tuple[str, str], ...], measure_name: str | None, limits: Limits, bytes_most: int | None = None
) -> Identity:
    """What identifies a record with these (name, value) pairs. Raises Invalid.

    `bytes_most` is no less than their names and values take in UTF-8; who does not know it leaves it out.
    """
    if not pairs:
        raise Invalid("At least one dimension is required for a record.")
    if bytes_most is None:
        bytes_most = _bytes_of(pairs)
    names = tuple([name for name, _ in pairs])
    checked = _kept_dimension_names(names) if bytes_most <= KEPT_BYTES_MAX else _dimension_names(names)
    if measure_name is None:
        raise Invalid("A measure name is required for a record.")
    check_measure_name(measure_name)
    over_limit: str | None = None
    if checked.characters_most > limits.dimension_name_bytes:
        over_limit = reasons.name_too_long("dimension", limits.dimension_name_bytes)
    elif byte_count(measure_name) > limits.measure_name_bytes:
        over_limit = reasons.name_too_long("measure", limits.measure_name_bytes)
    elif bytes_most > limits.dimension_bytes < _bytes_of(pairs):
        over_limit = reasons.too_large(limits.dimension_bytes)
    return Identity(Series(measure_name, pairs), checked.names, over_limit)


def _bytes_of(pairs: tuple[tuple[str, str], ...]) -> int:
    """Names and values of all dimensions together, in UTF-8. Source: write-api.md 8."""
    return byte_count("".join(chain.from_iterable(pairs)))


class _DimensionNames(NamedTuple):
    """The names of a record's dimensions, and the length of the longest; they are ASCII."""

    names: frozenset[str]
    characters_most: int


def _dimension_names(names: tuple[str, ...]) -> _DimensionNames:
    """The names if there may be such, each once. Raises Invalid."""
    seen: set[str] = set()
    for name in names:
        check_dimension_name(name)
        if name in seen:
            raise Invalid(f"The dimension name {name} occurs more than once in a record.")
        seen.add(name)
    return _DimensionNames(frozenset(seen), max(map(len, names)))


_kept_dimension_names = lru_cache(maxsize=LAYOUTS_MAX)(_dimension_names)


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A layout, the types of its columns, and the sizes that limits are about: `fixed_bytes` of all but VARCHARs."""

    layout: Layout
    types: tuple[MeasureType, ...]
    attribute_name_bytes_max: int
    fixed_bytes: int

    def over_limit(self, limits: Limits, varchar_bytes: int) -> str | None:
        """The reason to reject a record of this shape whose VARCHARs take `varchar_bytes`, or None.

        The limit of a record's size is applied to its measure values alone: a guess. Source: write-api.md 8.
        """
        if len(self.layout.columns) > limits.measures_per_record:
            return reasons.too_many_measures(limits.measures_per_record)
        if self.attribute_name_bytes_max > limits.measure_name_bytes:
            return reasons.name_too_long("measure", limits.measure_name_bytes)
        if self.fixed_bytes + varchar_bytes > limits.record_bytes:
            return reasons.too_large(limits.record_bytes)
        return None


@lru_cache(maxsize=len(MeasureType) + 1)
def single_shape(kind: str) -> Shape:
    """The shape of single-measure records of a type. Raises Invalid."""
    if kind == MeasureType.TIMESTAMP.value:
        raise Invalid("TIMESTAMP is an invalid measure value type.")
    measure_type = MeasureType(kind)
    return Shape(Layout.single(measure_type), (measure_type,), 0, _stored_bytes(measure_type))


def multi_shape(names: tuple[str, ...], kinds: tuple[str, ...]) -> Shape:
    """The shape of multi-measure records with these attributes, in the order sent. Raises Invalid."""
    return kept_multi_shape(names, kinds) if _are_keepable(names) else _multi_shape(names, kinds)


@lru_cache(maxsize=LAYOUTS_MAX)
def kept_multi_shape(names: tuple[str, ...], kinds: tuple[str, ...]) -> Shape:
    """The same, from the cache if it is there; raises ValueError for names that are too many or too long to keep."""
    if not _are_keepable(names):
        raise ValueError("not kept")
    return _multi_shape(names, kinds)


def _are_keepable(names: tuple[str, ...]) -> bool:
    return len(names) <= NAMES_MAX and max(map(len, names), default=0) <= NAME_CHARACTERS_MAX


def _multi_shape(names: tuple[str, ...], kinds: tuple[str, ...]) -> Shape:
    if not names:
        raise Invalid("At least one measure value is required for a record of type MULTI.")
    columns: dict[str, MeasureType] = {}
    for name, kind in zip(names, kinds, strict=True):
        check_measure_name(name)
        if name in columns:
            raise Invalid(f"The measure value name {name} occurs more than once in a record.")
        if kind == MULTI:
            raise Invalid("MULTI is an invalid measure value type.")
        columns[name] = MeasureType(kind)
    return Shape(
        layout=Layout.multi(tuple(columns.items())),
        types=tuple(columns.values()),
        attribute_name_bytes_max=max(map(byte_count, names)),
        fixed_bytes=sum(map(_stored_bytes, columns.values())),
    )


def byte_count(text: str) -> int:
    """Length in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def _stored_bytes(measure_type: MeasureType) -> int:
    """Size for metering, apart from texts. Source: write-api.md 6.3."""
    sizes = {MeasureType.BOOLEAN: 1, MeasureType.VARCHAR: 0}
    return sizes.get(measure_type, 8)
