"""Keys for tests: a master key held in memory, one whose database keys can be disabled, and the keys of a log."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from headwater.catalog.keys import LogKeys, Wrapped
from headwater.errors import KeyUnusable
from headwater.keyring.local import GivenKey

PROVIDER = GivenKey(b"m" * 32, "the key of tests", Random(2).randbytes)
LOG_KEYS = LogKeys("1" * 12, b"l" * 32, Random(3).randbytes)

ONE_KEY = "arn:aws:kms:us-east-1:111111111111:key/11111111-1111-1111-1111-111111111111"
OTHER_KEY = "arn:aws:kms:us-east-1:111111111111:key/22222222-2222-2222-2222-222222222222"


class KeyService(GivenKey):
    """A key service: what it wrapped under a key in `disabled` stays wrapped. `before_wrap` runs before each wrap."""

    def __init__(self) -> None:
        super().__init__(b"s" * 32, "the key service of tests", Random(4).randbytes)
        self.lease_s = 240.0
        self.disabled: set[str] = set()
        self.before_wrap: Callable[[], None] = lambda: None

    def wrap(self, key: bytes, kms_key_id: str | None, purpose: str) -> Wrapped:
        self.before_wrap()
        self._check(kms_key_id)
        return super().wrap(key, kms_key_id, purpose)

    def unwrap(self, wrapped: bytes, kms_key_id: str | None, purpose: str) -> bytes:
        self._check(kms_key_id)
        return super().unwrap(wrapped, kms_key_id, purpose)

    def _check(self, kms_key_id: str | None) -> None:
        if kms_key_id in self.disabled:
            raise KeyUnusable(kms_key_id)
