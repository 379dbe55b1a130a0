"""Group commit: one thread takes all writes that wait, logs them as one entry, makes them visible, answers.

`store.py` owns the one `Committer`. What a 200 promises rests on the order in `_commit`: staged, logged and synced,
published, answered. Knows nothing of blocks; `is_committing` keeps those who swap them out of its way.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from headwater.errors import Fault, Throttled, Unavailable
from headwater.model.record import Conflict, RecordColumns
from headwater.model.table import TableId
from headwater.model.time import Clock
from headwater.storage.admitted import Admitted
from headwater.storage.entry import SeriesPacker, encode_payload
from headwater.storage.late import LateWrites, Report, encode_reports
from headwater.storage.series import SeriesIndex
from headwater.storage.table import TableStore
from headwater.wal.log import Log

_GROUP_REQUESTS = 64
_WAITING_REQUESTS = 4_096


@dataclass(frozen=True, slots=True)
class _Submission:
    table: TableId
    batches: list[RecordColumns]
    done: Future[list[Conflict]]


class Committer:
    """`start` before use; `submit` may be called from any thread."""

    def __init__(
        self,
        log: Log,
        late: LateWrites,
        clock: Clock,
        table_of: Callable[[TableId], TableStore],
        on_failure: Callable[[], None],
    ) -> None:
        """`table_of` raises NotFound for a table that is dropped. `on_failure` is called once, if the log fails."""
        self._log = log
        self._late = late
        self._clock = clock
        self._table_of = table_of
        self._on_failure = on_failure
        self._packer = SeriesPacker()
        self._waiting: deque[_Submission] = deque()
        self._arrived = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._commit_loop, name="commit", daemon=True)
        self.is_committing = threading.Lock()
        """Held while writes are staged that are not published yet."""
        self.is_failed = False
        self.is_full = False
        """Set by whoever watches memory: no writes for now."""
        self.published_sequence = 0
        self.appends = 0
        self.append_s = 0.0
        """How often the log was appended to since the start, and how long that took: mostly its syncs."""

    def start(self, published_sequence: int) -> None:
        """Take writes from now on; the log is replayed up to `published_sequence`."""
        self.published_sequence = published_sequence
        self._thread.start()

    def stop(self) -> None:
        """Finish the writes that wait, take no more."""
        with self._arrived:
            self._is_closing = True
            self._arrived.notify()
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, table: TableId, batches: list[RecordColumns]) -> Future[list[Conflict]]:
        """As `Store.submit`."""
        submission = _Submission(table, batches, Future())
        # From here on nobody can cancel it: the commit thread must be able to answer.
        submission.done.set_running_or_notify_cancel()
        with self._arrived:
            if self.is_failed or self._is_closing:
                raise Unavailable("the store takes no writes")
            if len(self._waiting) >= _WAITING_REQUESTS:
                raise Throttled("Too many writes are waiting. Send again later.")
            if self.is_full:
                raise Throttled("Memory is full of records that wait for the disk. Send again later.")
            self._waiting.append(submission)
            self._arrived.notify()
        return submission.done

    def _commit_loop(self) -> None:
        while True:
            with self._arrived:
                while not self._waiting and not self._is_closing:
                    self._arrived.wait()
                group = [self._waiting.popleft() for _ in range(min(len(self._waiting), _GROUP_REQUESTS))]
                if not group:
                    return
            self._commit(group)

    def _commit(self, group: Sequence[_Submission]) -> None:
        """Stage, log, publish and answer one group of requests."""
        try:
            with self.is_committing:
                answers = self._store(group)
        except BaseException as error:
            self._fail(group, error)
            raise
        for done, answer in answers:
            if isinstance(answer, BaseException):
                done.set_exception(answer)
            else:
                done.set_result(answer)

    def _store(self, group: Sequence[_Submission]) -> list[tuple[Future[list[Conflict]], list[Conflict] | Fault]]:
        """Make the group durable and visible; the answers are to be given after that."""
        accepted: list[tuple[TableId, SeriesIndex, Admitted]] = []
        touched: dict[TableId, TableStore] = {}
        reports: list[Report] = []
        answers: list[tuple[Future[list[Conflict]], list[Conflict] | Fault]] = []
        for submission in group:
            try:
                table = touched.setdefault(submission.table, self._table_of(submission.table))
                staged = table.stage(submission.batches)
            except Fault as fault:
                answers.append((submission.done, fault))
                continue
            accepted.extend((submission.table, table.series, records) for records in staged.records)
            report = self._late.judge(submission.table, submission.batches, staged.conflicts)
            if report is not None:
                reports.append(report)
            answers.append((submission.done, staged.conflicts))
        if accepted:
            sequence = self._append(encode_payload(accepted, self._packer))
            for table in touched.values():
                table.publish(sequence, self._clock.monotonic_s())
            self.published_sequence = sequence
        if reports:
            sequence = self._append(encode_reports(reports))
            self._late.wait(sequence, reports)
            self.published_sequence = sequence
        return answers

    def _append(self, payload: bytes) -> int:
        began_s = self._clock.monotonic_s()
        sequence = self._log.append(payload)
        self.append_s += self._clock.monotonic_s() - began_s
        self.appends += 1
        return sequence

    def _fail(self, group: Sequence[_Submission], error: BaseException) -> None:
        """The log or our own code failed: nothing after this is acknowledged, and the process is to end."""
        with self._arrived:
            self.is_failed = True
            waiting = [*group, *self._waiting]
            self._waiting.clear()
        for submission in waiting:
            submission.done.set_exception(Unavailable(f"the write could not be made durable: {error}"))
        self._on_failure()
