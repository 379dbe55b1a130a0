"""What `Queries.run` answers, read as a client reads it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def rows_of(pieces: Sequence[bytes | memoryview]) -> list[list[dict[str, Any]]]:
    """The datums of each row of a page."""
    return [row["Data"] for row in json.loads(b"".join((b"[", *pieces, b"]")))]
