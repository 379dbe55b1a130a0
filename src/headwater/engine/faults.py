"""The engine's errors in the service's words: a table of patterns. Nothing of the engine's own text gets out.

A text of ours, raised by a lowered statement (sql/coercion.failure) or by an Arrow function, stands between markers or
after the exception's name. Source: sql.md 8; texts of overflow as Trino's.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import duckdb

from headwater.engine.filesystem import SCHEME
from headwater.errors import FAULT_END, FAULT_START, Corrupt, Fault, QueryFailed, Unavailable

_TYPES = {"INT32": "integer", "INT64": "bigint"}

_KNOWN: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(f"{FAULT_START}(.*?){FAULT_END}", re.DOTALL), lambda match: match[1]),
    (re.compile(r"UDF: QueryFailed: (.*)", re.DOTALL), lambda match: match[1].strip()),
    (re.compile(r"Division by zero"), lambda _: "Division by zero"),
    (
        re.compile(r"Overflow in (\w+) of (INT32|INT64) \((-?\d+) (\S+) (-?\d+)\)"),
        lambda match: f"{_TYPES[match[2]]} {match[1]} overflow: {match[3]} {match[4]} {match[5]}",
    ),
    (
        re.compile(r"Overflow in division of (-?\d+) / (-?\d+)"),
        lambda match: f"{_integer_type(match[1])} division overflow: {match[1]} / {match[2]}",
    ),
    (
        re.compile(r"Overflow on abs\((-?\d+)\)"),
        lambda match: f"Value {match[1]} is out of range for abs({_integer_type(match[1])})",
    ),
    (re.compile(r"Overflow in \w+ of INT128|Type (?:INT128|HUGEINT) with value"), lambda _: "bigint addition overflow"),
    (re.compile(r"Overflow in negation"), lambda _: "Value is out of range for negation"),
    (re.compile(r"Overflow in ROUND"), lambda _: "Value is out of range for round"),
    (
        re.compile(r"Like pattern must not end with escape"),
        lambda _: "Escape character must be followed by '%', '_' or the escape character itself",
    ),
    (
        re.compile(r"Window \w+ (PRECEDING|FOLLOWING) expression cannot be|Invalid RANGE (PRECEDING|FOLLOWING) value"),
        lambda _: "Window frame offset must not be negative or null",
    ),
    (re.compile(r"value is out of range|out of range"), lambda _: "Value is out of range"),
    (re.compile(r"More than one row returned by a subquery"), lambda _: "Scalar sub-query has returned multiple rows"),
    (re.compile(r"regular expression|RE2|repetition operator|missing [)\]]"), lambda _: "Invalid regular expression"),
    (re.compile(r"Argument for ntile"), lambda _: "Buckets must be greater than 0"),
)

_BUGS = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.SyntaxException)
"""What only a wrong lowered statement can cause."""


def _integer_type(value: str) -> str:
    return "integer" if int(value) >= -(2**31) else "bigint"


_STREAMED: dict[str, type[duckdb.Error]] = {
    "INTERRUPT": duckdb.InterruptException,
    "Out of Memory": duckdb.OutOfMemoryException,
    "IO": duckdb.IOException,
    "INTERNAL": duckdb.InternalException,
    "FATAL": duckdb.FatalException,
}


def streamed(error: OSError) -> duckdb.Error:
    """The engine's error that a reader of its rows raised as an Arrow one, which has only its text."""
    kind = str(error).partition(" Error: ")[0]
    return _STREAMED.get(kind, duckdb.Error)(str(error))


def is_end_of_database(error: duckdb.Error) -> bool:
    """Whether the engine will answer nothing but this from now on: an error of its own, or the memory of one."""
    is_own = isinstance(error, duckdb.InternalException | duckdb.FatalException)
    return is_own or "database has been invalidated" in str(error)


def fault_of(error: duckdb.Error) -> Fault:
    """The fault to raise for an error of the engine."""
    text = str(error)
    for pattern, message in _KNOWN:
        if match := pattern.search(text):
            return QueryFailed(message(match))
    if isinstance(error, _BUGS):
        return Unavailable(f"The lowered statement is wrong: {text}")
    if isinstance(error, duckdb.OutOfMemoryException):
        return QueryFailed("Query exceeded the memory limit of the server")
    if isinstance(error, duckdb.IOException) or f"{SCHEME}://" in text:
        return Corrupt(text)
    return QueryFailed("The query failed while it was run")
