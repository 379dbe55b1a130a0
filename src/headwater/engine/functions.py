"""Every function of the engine that is written here, for `engine.py` to register."""

from __future__ import annotations

from headwater.engine.binary import BINARY_FUNCTIONS
from headwater.engine.format import FORMAT_FUNCTIONS
from headwater.engine.json_values import JSON_FUNCTIONS
from headwater.engine.series import SERIES_FUNCTIONS
from headwater.engine.statistics import STATISTICS_FUNCTIONS
from headwater.engine.texts import TEXT_FUNCTIONS
from headwater.engine.urls import URL_FUNCTIONS

ARROW_FUNCTIONS = (
    *SERIES_FUNCTIONS,
    *STATISTICS_FUNCTIONS,
    *TEXT_FUNCTIONS,
    *FORMAT_FUNCTIONS,
    *BINARY_FUNCTIONS,
    *URL_FUNCTIONS,
    *JSON_FUNCTIONS,
)
