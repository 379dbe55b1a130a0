"""Functions of the engine on URLs: their parts (RFC 3986), and the encoding of forms. NULL gives NULL.

`engine.py` registers them; lowered statements call them by name. Source: Trino.
"""

from __future__ import annotations

import re
from functools import partial
from urllib.parse import quote, unquote_to_bytes

from headwater.engine.values import ValueFunction
from headwater.errors import QueryFailed

_URL = re.compile(
    r"(?:(?P<protocol>[A-Za-z][A-Za-z0-9+.-]*):)?(?://(?P<authority>[^/?#]*))?(?P<path>[^?#]*)"
    r"(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?",
    re.DOTALL,
)
_AUTHORITY = re.compile(r"(?:[^@]*@)?(?P<host>\[[0-9A-Fa-f:.]*\]|[^:@\[\]]*)(?::(?P<port>[0-9]*))?")
_REFUSED = re.compile(r"[\x00-\x20\"<>\\^`{|}\x7f]|%(?![0-9A-Fa-f]{2})")
_ENCODED = re.compile(r"%(?![0-9A-Fa-f]{2})")


def _parts(url: str) -> dict[str, str | None] | None:
    """The parts of a URL, undecoded; None for a text that is none."""
    match = _URL.fullmatch(url)
    if match is None or _REFUSED.search(url):
        return None
    parts = match.groupdict()
    authority = _AUTHORITY.fullmatch(parts["authority"] or "")
    if authority is None:
        return None
    return parts | authority.groupdict()


def _part(name: str, url: str) -> str | None:
    """One part, decoded; empty where the URL has none."""
    parts = _parts(url)
    return None if parts is None else unquote_to_bytes(parts[name] or "").decode("utf-8", "replace")


def _port(url: str) -> int | None:
    port = (_parts(url) or {}).get("port")
    return int(port) if port and len(port) < 10 else None


def _parameter(url: str, name: str) -> str | None:
    """The first parameter of this name; empty where it has no value."""
    query = (_parts(url) or {}).get("query")
    for pair in (query or "").split("&") if query is not None else ():
        key, _, value = pair.partition("=")
        if _form_decoded(key) == name:
            return _form_decoded(value)
    return None


def _form_decoded(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "replace")


def _encode(text: str) -> str:
    return quote(text, safe="-_.* ").replace("~", "%7E").replace(" ", "+")


def _decode(text: str) -> str:
    if _ENCODED.search(text):
        raise QueryFailed(f"Illegal hex characters in escape (%) pattern of '{text}'")
    return _form_decoded(text)


URL_FUNCTIONS = (
    *(
        ValueFunction(f"arrow_url_{name}", ("VARCHAR",), "VARCHAR", partial(_part, name))
        for name in ("protocol", "host", "path", "query", "fragment")
    ),
    ValueFunction("arrow_url_port", ("VARCHAR",), "BIGINT", _port),
    ValueFunction("arrow_url_parameter", ("VARCHAR", "VARCHAR"), "VARCHAR", _parameter),
    ValueFunction("arrow_url_encode", ("VARCHAR",), "VARCHAR", _encode),
    ValueFunction("arrow_url_decode", ("VARCHAR",), "VARCHAR", _decode),
)
