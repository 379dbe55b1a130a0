"""The encryption of payloads: each segment has a data key, each entry is one message under it.

`wal/segment` calls it. What it gives is AES-256-GCM: ciphertext, then the tag. The nonce is the entry's sequence
number, which a segment never has twice; the associated data are the context of the key (account and segment), the
format and the sequence: an entry that was moved or copied from elsewhere is not opened. Drawn in docs/format/log.md.
"""

from __future__ import annotations

from struct import Struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from headwater.sealing import NONCE_BYTES, TAG_BYTES, DataKey
from headwater.wal.entry import FORMAT_VERSION

_POSITION = Struct("<HQ")

ADDED_BYTES = TAG_BYTES
"""So much longer is a sealed payload."""


class PayloadCipher:
    """Payloads of one segment."""

    def __init__(self, key: DataKey) -> None:
        self._cipher = AESGCM(key.key)
        self._context = key.context

    def seal(self, sequence: int, payload: bytes) -> bytes:
        return self._cipher.encrypt(_nonce(sequence), payload, self._bound(sequence))

    def unseal(self, sequence: int, sealed: bytes) -> bytes | None:
        """The payload, or None when it is not one that was sealed with this sequence in this segment."""
        try:
            return self._cipher.decrypt(_nonce(sequence), sealed, self._bound(sequence))
        except InvalidTag:
            return None

    def _bound(self, sequence: int) -> bytes:
        return self._context + _POSITION.pack(FORMAT_VERSION, sequence)


def _nonce(sequence: int) -> bytes:
    return sequence.to_bytes(NONCE_BYTES, "little")
