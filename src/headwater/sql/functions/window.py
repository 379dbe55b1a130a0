"""Rows of functions that need an OVER clause. Source: sql.md 6.11."""

from __future__ import annotations

from headwater.errors import Invalid
from headwater.sql.coercion import BIGINT, failure, quoted
from headwater.sql.functions.aggregate import over_engine
from headwater.sql.signature import Call, Check, Kind, Signature, row


def _window(text: str, function: str, arguments: str = "", check: Check | None = None) -> Signature:
    return row(text, over_engine(function, arguments), kind=Kind.WINDOW, check=check, source="6.11")


def _check_constant(index: int, least: int, message: str) -> Check:
    """Refuse a constant count that is too small before the query runs; others are checked row by row."""

    def check(call: Call) -> None:
        if call.is_constant(index) and call.value(index) is not None and call.value(index) < least:
            raise Invalid(message)

    return check


def _at_least(argument: str, least: int, message: str) -> str:
    fault = failure(quoted(message), BIGINT)
    return f"CASE WHEN {argument} < {least} THEN {fault} ELSE {argument} END"


_BUCKETS = "Buckets must be greater than 0"
_PLACE = "Offset must be at least 1"
_STEP = "Offset must be at least 0"

ROWS = (
    _window("row_number() -> bigint", "row_number"),
    _window("rank() -> bigint", "rank"),
    _window("dense_rank() -> bigint", "dense_rank"),
    _window("percent_rank() -> double", "percent_rank"),
    _window("cume_dist() -> double", "cume_dist"),
    _window("ntile(bigint) -> bigint", "ntile", "{0}", _check_constant(0, 1, _BUCKETS)),
    _window("first_value(T) -> T", "first_value", "{0}"),
    _window("last_value(T) -> T", "last_value", "{0}"),
    _window(
        "nth_value(T, bigint) -> T",
        "nth_value",
        f"{{0}}, {_at_least('{1}', 1, _PLACE)}",
        _check_constant(1, 1, _PLACE),
    ),
    *(
        signature
        for name in ("lead", "lag")
        for signature in (
            _window(f"{name}(T) -> T", name, "{0}"),
            _window(
                f"{name}(T, bigint) -> T",
                name,
                f"{{0}}, {_at_least('{1}', 0, _STEP)}",
                _check_constant(1, 0, _STEP),
            ),
            _window(
                f"{name}(T, bigint, T) -> T",
                name,
                f"{{0}}, {_at_least('{1}', 0, _STEP)}, {{2}}",
                _check_constant(1, 0, _STEP),
            ),
        )
    ),
)
