"""WriteRecords on the wire: the bytes of a body to a `WriteRecordsRequest`, fast.

The server calls `decode_write_records` and hands the result to `ingest`. What the members mean together (merging,
types, names) is not decided here: only JSON, the members' JSON types and the constraints of the service model.

For a good body one decoder proves all of it on the way: msgspec checks syntax, JSON types and the constraints written
beside the members below. What it passes over is found by counting: a member that is unknown, null or there twice
has quotation marks that the decoded request does not account for. Only such a body is read again, by `wire/codec`.
A body that the decoder refuses is read by `wire/codec` too, which knows from the same shapes what to say.

Dimension lists repeat from request to request, so each is decoded once: its bytes are the key of a bounded cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, Raw, Struct
from msgspec.structs import astuple

from headwater.errors import Malformed
from headwater.model.limits import Limits
from headwater.wire import codec

Name = Annotated[str, Meta(min_length=1)]
Value = Annotated[str, Meta(min_length=1, max_length=2_048)]
TimeText = Annotated[str, Meta(min_length=1, max_length=256)]
Long = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
ValueType = Literal["DOUBLE", "BIGINT", "VARCHAR", "BOOLEAN", "TIMESTAMP", "MULTI"]
TimeUnit = Literal["MILLISECONDS", "SECONDS", "MICROSECONDS", "NANOSECONDS"]

RECORDS_MAX = Limits().records_per_request


class Dimension(Struct, rename="pascal", gc=False):
    """One dimension. The value may be empty: the present model has no minimum. Source: write-api.md 6.3."""

    name: Name
    value: str
    dimension_value_type: Literal["VARCHAR"] | None = None


DimensionList = Annotated[list[Dimension], Meta(max_length=128)]


class MeasureValue(Struct, rename="pascal", gc=False):
    """One attribute of a multi-measure record."""

    name: Name
    value: Value
    type: ValueType


D = TypeVar("D")
_ABSENT: Any = None


class RecordShape(Struct, Generic[D], rename="pascal", gc=False):
    """One record, or the common attributes, as sent; None is absent. Members in the order of the service model.

    `D` is Raw where the dimensions are left as bytes, and `DimensionList | None` where they are read on the spot.
    """

    dimensions: D = _ABSENT
    measure_name: Name | None = None
    measure_value: Value | None = None
    measure_value_type: ValueType | None = None
    time: TimeText | None = None
    time_unit: TimeUnit | None = None
    version: Long | None = None
    measure_values: list[MeasureValue] | None = None


class RequestShape(Struct, Generic[D], rename="pascal", gc=False, kw_only=True):
    """The input shape, members in the order of the service model."""

    database_name: str
    table_name: str
    common_attributes: RecordShape[D] | None = None
    records: Annotated[list[RecordShape[D]], Meta(min_length=1, max_length=RECORDS_MAX)]


Record = RecordShape[Raw]
"""A record with its dimensions still in JSON: `WriteRecordsRequest.dimensions` has them read."""


class Dimensions(Struct, frozen=True, eq=False, gc=False):
    """A dimension list as sent: (name, value) pairs in the sender's order, nothing merged or judged.

    If `is_shared`, an equal list of another request is this very object, so that it can be the key of a cache.
    `quotes` is how many quotation marks its JSON needs, `json_bytes` how long that is: names and values take no more.
    """

    pairs: tuple[tuple[str, str], ...]
    quotes: int
    json_bytes: int
    is_shared: bool


class Members(NamedTuple):
    """What the records carry themselves, member by member instead of record by record; None is absent.

    The same as the records hold, for those who ask one thing of all of them. In the order of `RecordShape`.
    """

    dimensions: tuple[Raw | None, ...]
    measure_name: tuple[str | None, ...]
    measure_value: tuple[str | None, ...]
    measure_value_type: tuple[str | None, ...]
    time: tuple[str | None, ...]
    time_unit: tuple[str | None, ...]
    version: tuple[int | None, ...]
    measure_values: tuple[list[MeasureValue] | None, ...]

    @classmethod
    def of(cls, records: list[Record]) -> Members:
        """At least one record."""
        return cls(*zip(*map(astuple, records), strict=True))


@dataclass(frozen=True, slots=True)
class WriteRecordsRequest:
    """A request that meets every constraint of the service model.

    `dimensions[i]` is the list that `records[i]` carries itself; the common one is not merged in.
    """

    database: str
    table: str
    common: Record
    common_dimensions: Dimensions
    records: list[Record]
    members: Members
    dimensions: list[Dimensions]


def decode_write_records(body: bytes, limits: Limits) -> WriteRecordsRequest:
    """Read the body of a WriteRecords request.

    Unknown members are ignored, null is absent. All of the body is judged, also what is ignored: UTF-8, depth,
    members there twice, halves of surrogate pairs, integers of more than 64 bits.
    Raises Malformed if it is not such JSON or a member has the wrong JSON type, else InvalidShape with the broken
    constraints in the order of the model.
    """
    try:
        request = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        codec.decode(body, RequestShape[DimensionList | None], limits.json_depth)
        # Not reached as long as the two readers agree; a body that only one of them takes is not taken.
        raise Malformed(f"The body cannot be read: {error}") from error
    if _quotes_in(body) != _quotes_of(request):
        codec.parse(body, limits.json_depth)
    return request


_decoder = msgspec.json.Decoder(RequestShape[Raw])
_dimensions_decoder = msgspec.json.Decoder(DimensionList)


def _decode(body: bytes) -> WriteRecordsRequest:
    shape = _decoder.decode(body)
    common = shape.common_attributes or _NOTHING_COMMON
    members = Members.of(shape.records)
    return WriteRecordsRequest(
        database=shape.database_name,
        table=shape.table_name,
        common=common,
        common_dimensions=_dimensions((common.dimensions,))[0],
        records=shape.records,
        members=members,
        dimensions=_dimensions(members.dimensions),
    )


_NOTHING_COMMON = Record()
_NO_DIMENSIONS = Dimensions((), 0, 0, is_shared=True)

SHARED_LIST_BYTES_MAX = 2_048
SHARED_LISTS_MAX = 32_768
"""Bounds of the cache. A list of ten takes some 2.5 KB here, less than a live series takes in the store."""


def _dimensions(sent: Sequence[Raw | None]) -> list[Dimensions]:
    """What these lists say. Raises what msgspec does."""
    texts = [b"null" if raw is None else bytes(raw) for raw in sent]
    try:
        return list(map(_shared_list, texts))
    except _TooLong:
        return [
            _shared_list(text) if len(text) <= SHARED_LIST_BYTES_MAX else _read_list(text, is_shared=False)
            for text in texts
        ]


class _TooLong(Exception):
    """A list is not kept."""


@lru_cache(maxsize=SHARED_LISTS_MAX)
def _shared_list(text: bytes) -> Dimensions:
    if len(text) > SHARED_LIST_BYTES_MAX:
        raise _TooLong
    return _NO_DIMENSIONS if text == b"null" else _read_list(text, is_shared=True)


def _read_list(text: bytes, is_shared: bool) -> Dimensions:
    dimensions = _dimensions_decoder.decode(text)
    typed = sum([one.dimension_value_type is not None for one in dimensions])
    pairs = tuple([(one.name, one.value) for one in dimensions])
    return Dimensions(pairs, 8 * len(pairs) + 4 * typed, len(text), is_shared)


def _quotes_in(body: bytes) -> int:
    """Quotation marks that begin or end a string of a well-formed body."""
    # Six times as fast as body.count().
    quotes = int(np.count_nonzero(np.frombuffer(body, np.uint8) == ord('"')))
    if b"\\" in body:
        quotes -= body.replace(b"\\\\", b"").count(b'\\"')
    return quotes


def _quotes_of(request: WriteRecordsRequest) -> int:
    """Quotation marks of a body in which what was decoded occurs once and nothing else is said."""
    quotes = 2 * len(("DatabaseName", request.database, "TableName", request.table, "Records"))
    quotes += sum(map(_quotes_of_member, request.members, _MEMBER_QUOTES))
    quotes += sum([own.quotes for own in request.dimensions])
    quotes += _MEASURE_QUOTES * sum(map(len, filter(None, request.members.measure_values)))
    if request.common is not _NOTHING_COMMON:
        common = astuple(request.common)
        quotes += 2 + sum([each for member, each in zip(common, _MEMBER_QUOTES, strict=True) if member is not None])
        quotes += request.common_dimensions.quotes + _MEASURE_QUOTES * len(request.common.measure_values or ())
    return quotes


_MEMBER_QUOTES = (2, 4, 4, 4, 4, 4, 2, 2)
"""In the order of `RecordShape`: two for the name of a member, two for its text. What lies deeper is counted apart."""

_MEASURE_QUOTES = 12


def _quotes_of_member(member: Sequence[object], each: int) -> int:
    """Of all records that have it."""
    # To count None among other things compares each; all() does not, and most members are in all records or in none.
    return each * (len(member) if all(member) else len(member) - member.count(None))
