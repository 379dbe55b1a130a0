"""The judge of the kill test is itself judged: it accepts what keeps the promises and names each way to break one."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.acknowledged import Found, History, Identity, Journal, Written, versions_of, violations

ONCE = [Identity("t", "a", n) for n in range(4)]
OFTEN = Identity("t", "b", 0)


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Two acknowledged requests and one that is not; three versions of one record, of which two are acknowledged."""
    journal = Journal(tmp_path / "journal")
    for written, is_acknowledged in (
        ([Written(ONCE[0], 1, 10), Written(ONCE[1], 1, 11)], True),
        ([Written(ONCE[2], 1, 12), Written(ONCE[3], 1, 13)], False),
        ([Written(OFTEN, 1, 101)], True),
        ([Written(OFTEN, 2, 102)], True),
        ([Written(OFTEN, 3, 103)], False),
    ):
        number = journal.sending(written)
        if is_acknowledged:
            journal.acknowledged(number)
    journal.close()
    return journal.read()


LEAST = [Found(ONCE[0], 10), Found(ONCE[1], 11), Found(OFTEN, 102)]
MOST = [*LEAST[:2], Found(ONCE[2], 12), Found(ONCE[3], 13), Found(OFTEN, 103)]


@pytest.mark.parametrize("found", [LEAST, MOST, [*LEAST[:2], Found(OFTEN, 103)]])
def test_what_keeps_the_promises(history: History, found: list[Found]) -> None:
    assert violations(history, found, {}) == []
    assert violations(history, found, versions_of(history, found)) == []


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (LEAST[1:], "request 1 was acknowledged"),
        (LEAST[:2], "request 3 was acknowledged"),
        ([*LEAST, LEAST[0]], "is there 2 times"),
        ([*LEAST[:2], Found(OFTEN, 101)], "request 4 was acknowledged"),
        ([*LEAST, Found(ONCE[2], 12)], "request 2 is there in part"),
        ([*LEAST, Found(Identity("t", "c", 0), 1)], "was never sent"),
        ([*LEAST[1:], Found(ONCE[0], 99)], "was never sent"),
        ([], "request 1 was acknowledged"),
    ],
)
def test_what_breaks_one(history: History, found: list[Found], text: str) -> None:
    assert any(text in told for told in violations(history, found, {}))


def test_what_was_seen_must_stay(history: History) -> None:
    seen = versions_of(history, MOST)
    (part, version) = violations(history, LEAST, seen)[1:]
    assert "was seen with version 1 and has None" in part
    assert "was seen with version 3 and has 2" in version
