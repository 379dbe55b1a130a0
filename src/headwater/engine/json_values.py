"""Functions of the engine on JSON texts. Numbers keep the digits they came with; a text that is not JSON gives NULL.

`engine.py` registers them; lowered statements call them by name. Source: Trino.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from headwater.engine.values import ValueFunction
from headwater.errors import QueryFailed
from headwater.model.json_path import ALL, steps


class _Number(str):
    """The digits of a number."""

    __slots__ = ()


def _refuse(word: str) -> Any:
    raise ValueError(word)


_decoder = json.JSONDecoder(parse_int=_Number, parse_float=_Number, parse_constant=_refuse)
_NOTHING = object()


def _value(text: str) -> Any:
    """What a text says; _NOTHING if it is not JSON, or too deep."""
    try:
        return _decoder.decode(text)
    except (ValueError, RecursionError):
        return _NOTHING


def _text(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        return f"{{{','.join(f'{_quote(key)}:{_text(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(inner) for inner in value] if isinstance(value, list) else value


def _parsed(text: str) -> str:
    """The value as JSON is kept here: no spaces, members by name."""
    value = _value(text)
    if value is _NOTHING:
        raise QueryFailed(f"Cannot convert value to JSON: '{text}'")
    return _text(_sorted(value))


# ------------------------------------------------------------------------------------------------ paths

_steps = lru_cache(1_000)(steps)


def _found(text: str, path: str) -> tuple[bool, list[Any]]:
    """Whether the path may lead to many values, and those it leads to."""
    value, way = _value(text), _steps(path)
    values = [] if value is _NOTHING else [value]
    for step in way:
        values = [inner for value in values for inner in _below(value, step)]
    return ALL in way, values


def _below(value: Any, step: str | int | None) -> Iterator[Any]:
    if step is ALL:
        yield from value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    elif isinstance(value, dict):
        if step in value:
            yield value[step]
    elif isinstance(value, list) and isinstance(step, int) and step < len(value):
        yield value[step]


def _extract(text: str, path: str) -> str | None:
    is_many, values = _found(text, path)
    if is_many:
        return _text(values) if values else None
    return _text(values[0]) if values else None


def _scalar(value: Any) -> str | None:
    if value is None or isinstance(value, dict | list) or value is _NOTHING:
        return None
    return value if isinstance(value, str) else _text(value)


def _extract_scalar(text: str, path: str) -> str | None:
    is_many, values = _found(text, path)
    return None if is_many or not values else _scalar(values[0])


def _size(text: str, path: str) -> int | None:
    """Members of an object, elements of an array, 0 for a scalar."""
    is_many, values = _found(text, path)
    if not values:
        return None
    value = values if is_many else values[0]
    return len(value) if isinstance(value, dict | list) else 0


# ------------------------------------------------------------------------------------- arrays and scalars


def _array_length(text: str) -> int | None:
    value = _value(text)
    return len(value) if isinstance(value, list) else None


def _array_get(text: str, index: int) -> str | None:
    """A negative index counts from the end."""
    value = _value(text)
    if not isinstance(value, list) or not -len(value) <= index < len(value):
        return None
    return _text(value[index])


def _array_contains(text: str, wanted: str, kind: str) -> bool | None:
    """Whether an element is that boolean, integer, double or text: 2 is not 2.0. Source: Trino."""
    value = _value(text)
    return any(_kind(one) == kind and _is_same(one, wanted, kind) for one in value) if isinstance(value, list) else None


def _kind(value: Any) -> str:
    if isinstance(value, _Number):
        return "integer" if value.lstrip("-").isdigit() else "double"
    return "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "other"


def _is_same(value: Any, wanted: str, kind: str) -> bool:
    if kind == "integer":
        return wanted == ("0" if value == "-0" else value)
    if kind == "double":
        return math.isfinite(float(value)) and float(value) == float(wanted)
    return _text(value) == wanted if kind == "boolean" else bool(value == wanted)


def _is_scalar(text: str) -> bool | None:
    value = _value(text)
    return None if value is _NOTHING else not isinstance(value, dict | list)


def _elements(text: str) -> list[str] | None:
    """The elements of an array, as JSON each."""
    value = _value(text)
    return [_text(one) for one in value] if isinstance(value, list) else None


def _members(text: str) -> list[dict[str, str]] | None:
    """The members of an object by name, their values as JSON."""
    value = _value(text)
    if not isinstance(value, dict):
        return None
    return [{"f0": key, "f1": _text(value[key])} for key in sorted(value, key=str.encode)]


def _as_scalar(text: str) -> str | None:
    return _scalar(_value(text))


_TWO_TEXTS = ("VARCHAR", "VARCHAR")

JSON_FUNCTIONS = (
    ValueFunction("arrow_json_parse", ("VARCHAR",), "VARCHAR", _parsed),
    ValueFunction("arrow_json_quote", ("VARCHAR",), "VARCHAR", _quote),
    ValueFunction("arrow_json_extract", _TWO_TEXTS, "VARCHAR", _extract),
    ValueFunction("arrow_json_extract_scalar", _TWO_TEXTS, "VARCHAR", _extract_scalar),
    ValueFunction("arrow_json_size", _TWO_TEXTS, "BIGINT", _size),
    ValueFunction("arrow_json_array_length", ("VARCHAR",), "BIGINT", _array_length),
    ValueFunction("arrow_json_array_get", ("VARCHAR", "BIGINT"), "VARCHAR", _array_get),
    ValueFunction("arrow_json_array_contains", (*_TWO_TEXTS, "VARCHAR"), "BOOLEAN", _array_contains),
    ValueFunction("arrow_json_is_scalar", ("VARCHAR",), "BOOLEAN", _is_scalar),
    ValueFunction("arrow_json_elements", ("VARCHAR",), "VARCHAR[]", _elements),
    ValueFunction("arrow_json_members", ("VARCHAR",), "STRUCT(f0 VARCHAR, f1 VARCHAR)[]", _members),
    ValueFunction("arrow_json_scalar", ("VARCHAR",), "VARCHAR", _as_scalar),
)
