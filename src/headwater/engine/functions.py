"""Every function of the engine that is written here, for `engine.py` to register."""

from __future__ import annotations

import re

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
    """Whether a statement calls one of these functions, itself or by a macro; also said of one that only names it."""
    return _CALLS.search(statement) is not None


def _calls() -> re.Pattern[str]:
    names = {function.name for function in PYTHON_FUNCTIONS}
    # A macro knows only those before it.
    for head, body in MACROS:
        if any(name in body for name in names):
            names.add(head.partition("(")[0])
    return re.compile("|".join(map(re.escape, sorted(names))))


_CALLS = _calls()
