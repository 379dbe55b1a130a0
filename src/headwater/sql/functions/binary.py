"""Rows of functions on bytes: encodings, digests, checksums. Source: Trino.

A varbinary is two lower-case hexadecimal digits a byte (model/types.py). What takes bytes takes a varchar too, as its
UTF-8 (ours).
"""

from __future__ import annotations

from headwater.sql.coercion import VARBINARY, failure, quoted
from headwater.sql.signature import Signature, row

_UTF8 = "lower(hex({0}))"


def _of_bytes(name: str, result: str, lower: str) -> tuple[Signature, Signature]:
    """A function of bytes {0}, and the same of a text."""
    return (
        row(f"{name}(varbinary) -> {result}", lower, source="Trino"),
        row(f"{name}(varchar) -> {result}", lower.replace("{0}", _UTF8), source="ours"),
    )


_NO_HEX = failure(quoted("Invalid hex string"), VARBINARY)

ROWS = (
    row("to_utf8(varchar) -> varbinary", _UTF8, source="Trino"),
    row("from_utf8(varbinary) -> varchar", "arrow_from_utf8({0})", source="Trino"),
    *_of_bytes("to_hex", "varchar", "upper({0})"),
    row(
        "from_hex(varchar) -> varbinary",
        "CASE WHEN regexp_full_match({0}, '([0-9A-Fa-f]{{2}})*') THEN lower({0})"
        f" WHEN {{0}} IS NOT NULL THEN {_NO_HEX} END",
        source="Trino",
    ),
    *(
        signature
        for name in ("to_base64", "to_base64url", "to_base32")
        for signature in _of_bytes(name, "varchar", f"arrow_{name}({{0}})")
    ),
    *(
        row(f"{name}(varchar) -> varbinary", f"arrow_{name}({{0}})", source="Trino")
        for name in ("from_base64", "from_base64url", "from_base32")
    ),
    *(
        signature
        for name in ("md5", "sha1", "sha256")
        for signature in _of_bytes(name, "varbinary", f"{name}(unhex({{0}}))")
    ),
    *_of_bytes("sha512", "varbinary", "arrow_sha512({0})"),
    *_of_bytes("xxhash64", "varbinary", "arrow_xxhash64({0})"),
    *_of_bytes("crc32", "bigint", "arrow_crc32({0})"),
    *(
        row(f"{name}(varbinary, varbinary) -> varbinary", f"arrow_{name}({{0}}, {{1}})", source="Trino")
        for name in ("hmac_md5", "hmac_sha1", "hmac_sha256", "hmac_sha512")
    ),
    row("to_big_endian_64(bigint) -> varbinary", "lower(lpad(hex({0}), 16, '0'))", source="Trino"),
    row("from_big_endian_64(varbinary) -> bigint", "arrow_from_big_endian_64({0})", source="Trino"),
    row("to_big_endian_32(integer) -> varbinary", "lower(substr(lpad(hex({0}::BIGINT), 16, '0'), 9))", source="Trino"),
    row("from_big_endian_32(varbinary) -> integer", "arrow_from_big_endian_32({0})", source="Trino"),
    row("to_ieee754_64(double) -> varbinary", "arrow_to_ieee754_64({0})", source="Trino"),
    row("from_ieee754_64(varbinary) -> double", "arrow_from_ieee754_64({0})", source="Trino"),
    row("length(varbinary) -> bigint", "(length({0}) // 2)", source="Trino"),
    row("concat(varbinary...) -> varbinary", lambda call: f"({' || '.join(call.texts)})", source="Trino"),
)
