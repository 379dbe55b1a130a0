"""What dimensions and measures may be called.

`parts` asks, once for each new dimension list and each new set of attributes. Lengths are limits, and judged there.
Source: write-api.md 2; texts errors.md 1 and 1.1.
"""

from __future__ import annotations

import re

from headwater.errors import Invalid

DIMENSION_NAME_INVALID = (
    "The dimension name is invalid. Dimension name can only contain alphanumeric characters and underscores. "
    "It can only start with an alphabet and cannot end with an underscore."
)
MEASURE_NAME_INVALID = "The measure name is invalid."

# "Letters" are read as ASCII letters: a guess.
_DIMENSION_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9_]*[A-Za-z0-9])?")
_RESERVED_NAMES = frozenset({"time", "ts_non_existent_col"})
_RESERVED_PREFIXES = ("ts_", "measure_value", "measure_name")


def check_dimension_name(name: str) -> None:
    """Raise Invalid unless a dimension may have this name."""
    if not _DIMENSION_NAME.fullmatch(name):
        raise Invalid(DIMENSION_NAME_INVALID)
    _check_reserved(name)


def check_measure_name(name: str) -> None:
    """Raise Invalid unless a measure, or an attribute of a multi-measure record, may have this name."""
    if ":" in name:
        raise Invalid(MEASURE_NAME_INVALID)
    _check_reserved(name)


def _check_reserved(name: str) -> None:
    if name in _RESERVED_NAMES or name.startswith(_RESERVED_PREFIXES):
        raise Invalid(f"The name {name} is reserved.")
