"""What a server has promised: a journal of all that was sent and acknowledged, and the judge of what it kept.

Writers append to the journal, which lies outside the data folder: a line before a request is sent and another when its
200 has come. After a crash `violations` compares the journal with what queries find. The rules are reliability.md 1.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Identity(NamedTuple):
    table: str
    host: str
    time_ns: int


class Written(NamedTuple):
    """One record as it was sent. The values that are sent for one identity all differ."""

    identity: Identity
    version: int
    value: int


class Found(NamedTuple):
    """One row of a query."""

    identity: Identity
    value: int


@dataclass(frozen=True)
class History:
    """Requests by number, and the numbers of those whose 200 was received."""

    requests: Mapping[int, tuple[Written, ...]]
    acknowledged: frozenset[int]


class Journal:
    """A file of lines; any thread may write. A line is whole in the file before the call returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("a")
        self._lock = threading.Lock()
        self._count = 0

    def sending(self, records: Iterable[Written]) -> int:
        """To be called before a request is sent; its number."""
        with self._lock:
            self._count += 1
            self._append({"sending": self._count, "records": [[*r.identity, r.version, r.value] for r in records]})
            return self._count

    def acknowledged(self, number: int) -> None:
        """To be called when the request has been answered with 200."""
        with self._lock:
            self._append({"acknowledged": number})

    def read(self) -> History:
        """All that was written so far."""
        with self._lock:
            lines = [json.loads(line) for line in self._path.read_text().splitlines()]
        requests = {
            line["sending"]: tuple(
                Written(Identity(table, host, time_ns), version, value)
                for table, host, time_ns, version, value in line["records"]
            )
            for line in lines
            if "sending" in line
        }
        return History(requests, frozenset(line["acknowledged"] for line in lines if "acknowledged" in line))

    def close(self) -> None:
        self._file.close()

    def _append(self, line: dict[str, object]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


Versions = Mapping[Identity, int]


def versions_of(history: History, found: Iterable[Found]) -> dict[Identity, int]:
    """The version of each row that was sent as it is."""
    sent = {(w.identity, w.value): w.version for written in history.requests.values() for w in written}
    return {row.identity: sent[row] for row in found if row in sent}


def violations(history: History, found: list[Found], before: Versions) -> list[str]:
    """Every way in which what was found breaks a promise; none is how it should be.

    `before` are the versions that an earlier query has shown: what was seen once must stay, acknowledged or not.
    """
    told = []
    for identity, count in Counter(row.identity for row in found).items():
        if count > 1:
            told.append(f"{identity} is there {count} times")
    stored = versions_of(history, found)
    told += [f"{row} was never sent" for row in found if row.identity not in stored]
    for identity, version in before.items():
        if stored.get(identity, 0) < version:
            told.append(f"{identity} was seen with version {version} and has {stored.get(identity)}")
    for number, written in history.requests.items():
        lost = [w for w in written if stored.get(w.identity, 0) < w.version]
        if lost and number in history.acknowledged:
            told.append(f"request {number} was acknowledged; lost: {lost}")
        elif lost and len(lost) < len(written):
            told.append(f"request {number} is there in part; lost: {lost}")
    return told
