"""Page tokens: a place in the result of a run, sealed so that only this server can have made it.

`cursor` makes and opens them. A token is encrypted and bound to whom it was given and to the text of the query, so in
other hands, or beside another text, it is no token. What it says of the run is enough to find it after a restart.
Source: query-api.md 1.1.6, reliability.md 6 "Permission" 5.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag

from headwater.errors import Invalid
from headwater.sealing import Randomness, SealingKey


class Caller(NamedTuple):
    """Who asks: nobody else can go on with what they began."""

    account: str
    principal: str


class Place(NamedTuple):
    """Where a page begins. `poll` counts the empty pages given out at this row, so that later places are greater."""

    row: int
    poll: int = 0


class PageToken(msgspec.Struct, array_like=True, frozen=True):
    """`started_ns` is the run's now(); after `expires_ns`, wall time, the token is of no use."""

    query_id: str
    place: Place
    started_ns: int
    expires_ns: int


# Made here and not at the first use, when several threads may ask for pages: see `wire/codec`.
_decode = msgspec.msgpack.Decoder(PageToken).decode


def seal(key: SealingKey, token: PageToken, caller: Caller, text: str, randomness: Randomness) -> str:
    """The token as its client sees it."""
    sealed = key.seal(msgspec.msgpack.encode(token), _purpose(caller, text), randomness)
    return base64.urlsafe_b64encode(sealed).decode()


def unseal(key: SealingKey, token: str, caller: Caller, text: str) -> PageToken:
    """What a token says. Raises Invalid if this server did not make it for this caller and this text."""
    try:
        raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        value = key.unseal(raw, _purpose(caller, text))
    except (binascii.Error, UnicodeEncodeError, InvalidTag, ValueError) as error:
        raise invalid_token() from error
    # The last character of base64 has bits to spare: only the text that was given out counts.
    if base64.urlsafe_b64encode(raw).decode() != token:
        raise invalid_token()
    return _decode(value)


def invalid_token() -> Invalid:
    """What a client is told of any token that cannot be used, whatever the reason."""
    return Invalid("Invalid pagination token")


def _purpose(caller: Caller, text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"page/{caller.account}/{caller.principal}/{digest}"
