"""Every function of the engine that is written here, for `engine.py` to register."""

from __future__ import annotations

from headwater.engine.binary import BINARY_FUNCTIONS
from headwater.engine.format import FORMAT_FUNCTIONS
from headwater.engine.json_values import JSON_FUNCTIONS
from headwater.engine.macros import MACROS
from headwater.engine.room import ROOM_FUNCTIONS
from headwater.engine.series import SERIES_FUNCTIONS
from headwater.engine.statistics import STATISTICS_FUNCTIONS
from headwater.engine.texts import TEXT_FUNCTIONS
from headwater.engine.urls import URL_FUNCTIONS

PYTHON_FUNCTIONS = (
    *SERIES_FUNCTIONS,
    *STATISTICS_FUNCTIONS,
    *TEXT_FUNCTIONS,
    *FORMAT_FUNCTIONS,
    *BINARY_FUNCTIONS,
    *URL_FUNCTIONS,
    *JSON_FUNCTIONS,
    *ROOM_FUNCTIONS,
)


def runs_python(statement: str) -> bool:
    """Whether a statement calls one of these functions, itself or by a macro; also said of one that only names one."""
    return any(call in statement for call in _CALLS)


def _calls() -> tuple[str, ...]:
    calls = [_PREFIX]
    # A macro knows only those before it.
    for head, body in MACROS:
        if any(call in body for call in calls):
            calls.append(head.partition("(")[0])
    return tuple(calls)


_PREFIX = "arrow_"
"""All their names begin so: a long statement is looked through once for them, not once for each."""

_CALLS = _calls()
