"""The error report of a batch load: which lines of which file were not loaded and why, as one JSON object.

`batch_load_run` gathers the lines with `Failures` and puts the report into the bucket when a task ends. Layout:
batch-load.md 7; the key is a guess: one report per task, which the one of a resumed run replaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from headwater.model.batch_load import FailedLines, SourceFile, Task
from headwater.objects import key_below


class Failures:
    """Failed lines of one file that are not told yet; neighbours that failed for the same reason become one range."""

    def __init__(self) -> None:
        self._ranges: dict[str, list[list[int]]] = {}
        self.count = 0

    def add(self, lines: tuple[int, int], reason: str) -> None:
        """Lines of one reason come in ascending order."""
        first, last = lines
        ranges = self._ranges.setdefault(reason, [])
        if ranges and first <= ranges[-1][1] + 1:
            ranges[-1][1] = max(last, ranges[-1][1])
        else:
            ranges.append([first, last])
            self.count += 1

    def taken(self) -> list[FailedLines]:
        """All of them; from now on there are none."""
        found = [FailedLines(first, last, reason) for reason, ranges in self._ranges.items() for first, last in ranges]
        self._ranges, self.count = {}, 0
        return found

    def errors(self) -> list[dict[str, object]]:
        """As the report has them."""
        return [{"reason": reason, "lineRanges": ranges} for reason, ranges in self._ranges.items()]


def report_key(task: Task) -> str:
    return key_below(task.load.report.prefix, task.id, "error_report.json")


def report_body(
    task: Task,
    files: Iterable[SourceFile],
    told: Iterable[tuple[int, Sequence[FailedLines]]],
    task_errors: Sequence[str],
) -> bytes:
    """The whole report; files without a failure are left out."""
    by_place: dict[int, Failures] = {}
    for place, failed in told:
        failures = by_place.setdefault(place, Failures())
        for one in failed:
            failures.add((one.first, one.last), one.reason)
    errors = [
        {"fileName": file.key, "errors": by_place[file.place].errors()} for file in files if file.place in by_place
    ]
    return msgspec.json.encode({"taskId": task.id, "taskErrors": list(task_errors), "fileErrors": errors})
