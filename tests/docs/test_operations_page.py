"""docs/operations.md says of each operation what `server/operations.py` says."""

from __future__ import annotations

import re
from pathlib import Path

from headwater.server.operations import NOT_BUILT, OPERATIONS

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
ROW = re.compile(r"^\| ([A-Z]\w+) \| (yes|not yet) \|", re.MULTILINE)


def test_the_page_lists_every_operation_once_and_says_whether_it_is_here() -> None:
    rows = ROW.findall(PAGE.read_text("utf-8"))
    assert sorted(rows) == sorted([*((name, "yes") for name in OPERATIONS), *((name, "not yet") for name in NOT_BUILT)])
