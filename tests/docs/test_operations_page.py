"""docs/operations.md says what the service model, `server/operations.py` and the table of differences say."""

from __future__ import annotations

import re

from headwater.server.operations import OPERATIONS
from support.conformance_page import PAGE, remade

ROW = re.compile(r"^\| \[?([A-Z]\w+)(?:\]\(#\w+\))? \| (yes) \|", re.MULTILINE)
HEADING = re.compile(r"^### (\w+)$", re.MULTILINE)


def test_the_page_is_made_anew_after_a_change() -> None:
    text = PAGE.read_text("utf-8")
    assert remade(text) == text, "run: make docs"


def test_the_page_lists_every_operation_once() -> None:
    text = PAGE.read_text("utf-8")
    assert sorted(ROW.findall(text)) == sorted((name, "yes") for name in OPERATIONS)
    assert sorted(HEADING.findall(text)) == sorted(OPERATIONS)
