"""The NextToken of lists: where a list goes on, sealed so that only this server can have made it.

`write_api` makes and opens them. A token holds all that is needed, so nothing is kept between two calls; it is bound
to its operation and what is listed. Tokens of queries are another matter, `query/cursor`.
"""

from __future__ import annotations

import base64
import binascii
import hmac

import msgspec

from headwater.errors import Invalid

_MAC_BYTES = 16


def seal(key: bytes, scope: tuple[str, ...], after: tuple[str, ...]) -> str:
    """A token that says: the list of `scope` goes on behind the names `after`."""
    body = msgspec.json.encode(after)
    return base64.urlsafe_b64encode(_mac(key, scope, body) + body).decode().rstrip("=")


def unseal(key: bytes, scope: tuple[str, ...], token: str) -> tuple[str, ...]:
    """The names behind which the list goes on. Raises Invalid if the token is forged or of another list."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid("Invalid pagination token") from error
    mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, scope, body)):
        raise Invalid("Invalid pagination token")
    return msgspec.json.decode(body, type=tuple[str, ...])


def _mac(key: bytes, scope: tuple[str, ...], body: bytes) -> bytes:
    # The leading word keeps these apart from other things sealed with the same key.
    return hmac.digest(key, msgspec.json.encode(("list", *scope)) + body, "sha256")[:_MAC_BYTES]
