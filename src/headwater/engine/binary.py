"""Functions of the engine on bytes: encodings, checksums, bits. Bytes are two lower-case hexadecimal digits each.

`engine.py` registers them; lowered statements call them by name. Source: Trino.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
import struct
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headwater.engine.arrow import ArrowFunction, whole
from headwater.engine.values import ValueFunction
from headwater.errors import QueryFailed

_PRIMES = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)
_MASK = 2**64 - 1


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> 64 - bits) & _MASK


def _round(lane: int, word: int) -> int:
    return _rotated((lane + word * _PRIMES[1]) & _MASK, 31) * _PRIMES[0] & _MASK


def xxhash64(data: bytes) -> int:
    """XXH64 with seed 0. Source: the specification of xxHash, revision 0.1.1."""
    place, length = 0, len(data)
    if length >= 32:
        lanes = [(_PRIMES[0] + _PRIMES[1]) & _MASK, _PRIMES[1], 0, -_PRIMES[0] & _MASK]
        while place + 32 <= length:
            words = (int.from_bytes(data[place + at : place + at + 8], "little") for at in (0, 8, 16, 24))
            lanes = [_round(lane, word) for lane, word in zip(lanes, words, strict=True)]
            place += 32
        value = sum(_rotated(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & _MASK
        for lane in lanes:
            value = ((value ^ _round(0, lane)) * _PRIMES[0] + _PRIMES[3]) & _MASK
    else:
        value = _PRIMES[4]
    return _avalanche(_with_rest((value + length) & _MASK, data[place:]))


def _with_rest(value: int, rest: bytes) -> int:
    """The last bytes, fewer than 32: eight at a time, then four, then single ones."""
    place = 0
    while place + 8 <= len(rest):
        word = int.from_bytes(rest[place : place + 8], "little")
        value = (_rotated(value ^ _round(0, word), 27) * _PRIMES[0] + _PRIMES[3]) & _MASK
        place += 8
    if place + 4 <= len(rest):
        word = int.from_bytes(rest[place : place + 4], "little")
        value = (_rotated(value ^ word * _PRIMES[0] & _MASK, 23) * _PRIMES[1] + _PRIMES[2]) & _MASK
        place += 4
    for byte in rest[place:]:
        value = _rotated(value ^ byte * _PRIMES[4] & _MASK, 11) * _PRIMES[0] & _MASK
    return value


def _avalanche(value: int) -> int:
    value = (value ^ value >> 33) * _PRIMES[1] & _MASK
    value = (value ^ value >> 29) * _PRIMES[2] & _MASK
    return value ^ value >> 32


def _xxhash64(text: str) -> str:
    return f"{xxhash64(bytes.fromhex(text)):016x}"


def _crc32(text: str) -> int:
    return zlib.crc32(bytes.fromhex(text))


def _sha512(text: str) -> str:
    return hashlib.sha512(bytes.fromhex(text)).hexdigest()


def _hmac(digest: str, text: str, key: str) -> str:
    return hmac.new(bytes.fromhex(key), bytes.fromhex(text), digest).hexdigest()


# ------------------------------------------------------------------------------------------- encodings


def _from_utf8(text: str) -> str:
    """What is not UTF-8 becomes the replacement character."""
    return bytes.fromhex(text).decode("utf-8", "replace")


def _encoded(encode: Callable[[bytes], bytes], text: str) -> str:
    return encode(bytes.fromhex(text)).decode("ascii")


def _from_base64(text: str) -> str:
    """Padding may be left out."""
    return _decoded(partial(base64.b64decode, validate=True), text, 4, "base64")


def _from_base64url(text: str) -> str:
    if "+" in text or "/" in text:
        raise QueryFailed("Input is not valid base64url")
    return _decoded(partial(base64.b64decode, altchars=b"-_", validate=True), text, 4, "base64url")


def _from_base32(text: str) -> str:
    return _decoded(base64.b32decode, text, 8, "base32")


def _decoded(decode: Callable[[str], bytes], text: str, group: int, what: str) -> str:
    try:
        return decode(text + "=" * (-len(text) % group)).hex()
    except (binascii.Error, ValueError):
        raise QueryFailed(f"Input is not valid {what}") from None


def _read(format: str, text: str) -> Any:
    """A number of so many bytes."""
    size = struct.calcsize(format)
    if len(text) != 2 * size:
        raise QueryFailed(f"expected {size}-byte input, but got instead: {len(text) // 2}")
    return struct.unpack(format, bytes.fromhex(text))[0]


def _to_ieee754_64(value: float) -> str:
    """Every NaN is the one that Java writes."""
    return struct.pack(">d", math.nan if math.isnan(value) else value).hex()


# ------------------------------------------------------------------------------------------------ bits

Ints = npt.NDArray[np.int64]


def _shifted(shift: Callable[[Ints, Ints], Ints]) -> Callable[..., pa.Array]:
    """A shift of whole columns. One by 64 bits or more leaves no bit where it was."""

    def compute(values: Any, counts: Any) -> pa.Array:
        values, counts = whole(values), whole(counts)
        known = np.logical_and(values.is_valid(), counts.is_valid())
        bits = counts.fill_null(0).to_numpy(zero_copy_only=False)
        if (bits[known] < 0).any():
            raise QueryFailed("Shift must not be negative")
        shifted = shift(values.fill_null(0).to_numpy(zero_copy_only=False), bits)
        return pa.array(shifted, type=pa.int64(), mask=~known)

    return compute


def _left(values: Ints, bits: Ints) -> Ints:
    return np.where(bits < 64, values << np.minimum(bits, 63), 0)


def _right(values: Ints, bits: Ints) -> Ints:
    moved = (values.view(np.uint64) >> np.minimum(bits, 63).astype(np.uint64)).view(np.int64)
    return np.where(bits < 64, moved, 0)


def _right_arithmetic(values: Ints, bits: Ints) -> Ints:
    shifted: Ints = values >> np.minimum(bits, 63)
    return shifted


BINARY_FUNCTIONS = (
    ValueFunction("arrow_xxhash64", ("VARCHAR",), "VARCHAR", _xxhash64),
    ValueFunction("arrow_crc32", ("VARCHAR",), "BIGINT", _crc32),
    ValueFunction("arrow_sha512", ("VARCHAR",), "VARCHAR", _sha512),
    *(
        ValueFunction(f"arrow_hmac_{digest}", ("VARCHAR", "VARCHAR"), "VARCHAR", partial(_hmac, digest))
        for digest in ("md5", "sha1", "sha256", "sha512")
    ),
    ValueFunction("arrow_from_utf8", ("VARCHAR",), "VARCHAR", _from_utf8),
    ValueFunction("arrow_to_base64", ("VARCHAR",), "VARCHAR", partial(_encoded, base64.b64encode)),
    ValueFunction("arrow_to_base64url", ("VARCHAR",), "VARCHAR", partial(_encoded, base64.urlsafe_b64encode)),
    ValueFunction("arrow_to_base32", ("VARCHAR",), "VARCHAR", partial(_encoded, base64.b32encode)),
    ValueFunction("arrow_from_base64", ("VARCHAR",), "VARCHAR", _from_base64),
    ValueFunction("arrow_from_base64url", ("VARCHAR",), "VARCHAR", _from_base64url),
    ValueFunction("arrow_from_base32", ("VARCHAR",), "VARCHAR", _from_base32),
    ValueFunction("arrow_from_big_endian_64", ("VARCHAR",), "BIGINT", partial(_read, ">q")),
    ValueFunction("arrow_from_big_endian_32", ("VARCHAR",), "INTEGER", partial(_read, ">i")),
    ValueFunction("arrow_from_ieee754_64", ("VARCHAR",), "DOUBLE", partial(_read, ">d")),
    ValueFunction("arrow_to_ieee754_64", ("DOUBLE",), "VARCHAR", _to_ieee754_64),
    *(
        ArrowFunction(f"arrow_{name}", ("BIGINT", "BIGINT"), "BIGINT", _shifted(shift))
        for name, shift in (
            ("left_shift", _left),
            ("right_shift", _right),
            ("right_shift_arithmetic", _right_arithmetic),
        )
    ),
)
