"""Group commit: whoever waits shares the next sync, and nobody waits for company. Source: reliability.md 2.2 allows
2 ms of that; ours takes what is there when the last sync has ended, so a lone write waits for its own sync only.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from support.stores import NOW_NS, StoreFolder, records, series

TIMEOUT_S = 20
GROUP = 64


class GatedLog:
    """Stands before a log's `append`: lets an entry through when told, and counts those that have come."""

    def __init__(self, folder: StoreFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        self._append = folder.log.append
        self._has_come, self._may_go = threading.Semaphore(0), threading.Semaphore(0)
        self.appends = 0
        monkeypatch.setattr(folder.log, "append", self._gated)

    def _gated(self, payload: bytes) -> int:
        self.appends += 1
        self._has_come.release()
        assert self._may_go.acquire(timeout=TIMEOUT_S)
        return self._append(payload)

    def await_entry(self) -> None:
        assert self._has_come.acquire(timeout=TIMEOUT_S)

    def let_go(self, entries: int = 1) -> None:
        self._may_go.release(entries)


@pytest.fixture
def folder(tmp_path: Path) -> StoreFolder:
    return StoreFolder(tmp_path)


def test_who_waits_while_another_syncs_shares_the_next_sync(
    folder: StoreFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = GatedLog(folder, monkeypatch)
    number = iter(range(1_000))

    def submit():
        return folder.store.submit(folder.table, [records([(series("a"), NOW_NS + next(number), 1, 1.0)])])

    first = submit()
    log.await_entry()
    waiting = [submit() for _ in range(GROUP + 1)]
    assert not first.done()
    log.let_go(3)
    assert [one.result(TIMEOUT_S) for one in (first, *waiting)] == [[]] * (GROUP + 2)
    # The first alone, those that waited together as far as a group goes, and the one that was left.
    assert log.appends == 3
    assert folder.log.last_sequence == 3
    folder.close()


def test_nobody_is_answered_or_seen_before_the_sync(folder: StoreFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    log = GatedLog(folder, monkeypatch)
    answer = folder.store.submit(folder.table, [records([(series("a"), NOW_NS, 1, 1.0)])])
    log.await_entry()
    found = folder.scan()
    assert (answer.done(), found.memory) == (False, ())
    log.let_go()
    assert answer.result(TIMEOUT_S) == []
    folder.close()


def test_a_lone_write_waits_for_no_company(folder: StoreFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit thread waits for writes, without an end, and for nothing else: no timer can hold one back."""
    limits_s: list[float | None] = []
    wait = threading.Condition.wait

    def noting(self: threading.Condition, timeout: float | None = None) -> bool:
        if threading.current_thread().name == "commit":
            limits_s.append(timeout)
        return wait(self, timeout)

    monkeypatch.setattr(threading.Condition, "wait", noting)
    began_ns = folder.clock.now_ns()
    for number in range(20):
        assert folder.write(records([(series("a"), NOW_NS + number, 1, 1.0)])) == []
        assert folder.log.last_sequence == number + 1
    assert folder.clock.now_ns() == began_ns
    assert set(limits_s) <= {None}
    assert limits_s
    folder.close()
