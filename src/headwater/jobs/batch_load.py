"""Batch loads: tasks are made, resumed and worked on here. The face of this job for the server and the instance.

The runner calls `run`, which takes steps with each active task in turn, so that a small load does not wait for a large
one. What a task is stands in the catalog; after a restart whatever was active goes on. One step is `batch_load_run`'s
matter, the rules of a data model are `batch_load_model`'s.
Source: batch-load.md 1, 5; reliability.md 7. That buckets are looked at when a task is made is a guess.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from headwater.catalog.catalog import Catalog
from headwater.errors import Invalid, Unavailable
from headwater.ingest.validate import required_dimension
from headwater.jobs.batch_load_csv import check_dialect
from headwater.jobs.batch_load_model import check_model
from headwater.jobs.batch_load_run import Run, Storing, Surroundings
from headwater.jobs.patience import Stopped
from headwater.model.batch_load import Load, ObjectPlace, Task, TaskStatus
from headwater.model.limits import Limits
from headwater.model.time import Clock
from headwater.objects import Buckets, ObjectFault, check_prefix

_log = structlog.get_logger("jobs")

MODEL_BYTES_MAX = 1024 * 1024


CANCELLED = "The task was cancelled. Resume it to load the rest."


@dataclass(slots=True)
class _Working:
    """A task that is being worked on. What waits for it looks at `stopping`."""

    steps: Iterator[None]
    stopping: threading.Event
    is_cancelled: bool = False


class BatchLoads:
    """All batch loads of the account. `run` belongs to one thread, the rest may be called from any."""

    def __init__(
        self,
        catalog: Catalog,
        records: Storing,
        buckets: Buckets,
        clock: Clock,
        limits: Limits,
        new_id: Callable[[], str],
    ) -> None:
        """`new_id` makes 32 hexadecimal digits."""
        self._catalog = catalog
        self._buckets = buckets
        self._clock = clock
        self._limits = limits
        self._new_id = new_id
        self._around = Surroundings(catalog.batch_loads, catalog, records, buckets, clock, limits)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        """Guards what is worked on; never held while it is."""
        self._working: dict[str, _Working] = {}

    def made_by(self, client_token: str | None, request: bytes) -> Task | None:
        """The task that this very request has made before. Raises Conflict if its token came with another one."""
        return self._catalog.batch_loads.of_request(client_token, request)

    def data_model(self, place: ObjectPlace) -> bytes:
        """The JSON of a data model. Raises Invalid if there is none to be had."""
        try:
            objects = self._buckets.bucket(place.bucket)
            stat = objects.stat(place.key)
            if stat is None or stat.bytes > MODEL_BYTES_MAX:
                raise Invalid(f"There is no data model {place.key} in the bucket {place.bucket}.")
            return objects.get(place.key)
        except ObjectFault as fault:
            raise _refused(fault) from fault

    def create(self, database: str, table: str, load: Load, client_token: str | None, request: bytes) -> Task:
        """Make a task, to be worked on at once.

        Raises NotFound for the target, Invalid for the load or a bucket, Conflict, QuotaExceeded, Unavailable.
        """
        target = self._catalog.table(database, table)
        if load.source.dialect is not None:
            check_dialect(load.source.dialect)
        check_model(load.model, self._limits, required_dimension(target.partition_key))
        if load.report.encryption == "SSE_KMS" and not load.report.kms_key_id:
            raise Invalid("KmsKeyId is required when EncryptionOption is SSE_KMS.")
        if load.record_version < 1:
            raise Invalid("The record version must be 1 or greater.")
        for bucket, prefix in ((load.source.bucket, load.source.prefix), (load.report.bucket, load.report.prefix)):
            try:
                check_prefix(prefix)
                self._buckets.bucket(bucket).check()
            except ObjectFault as fault:
                raise _refused(fault) from fault
        now_ns = self._clock.now_ns()
        task = Task(self._new_id().upper(), database, table, target.id, load, now_ns, now_ns)
        return self._catalog.batch_loads.create(task, client_token, request)

    def resume(self, id: str) -> None:
        """Let a stopped task go on. Raises NotFound, Invalid, Throttled."""
        self._catalog.batch_loads.resume(id)

    def cancel(self, id: str) -> None:
        """Let an active task stop soon, as PROGRESS_STOPPED: it can be resumed. Raises NotFound, Invalid."""
        with self._lock:
            task = self._catalog.batch_loads.task(id)
            if not task.status.is_active:
                raise Invalid(f"The batch load task {id} is {task.status.value}: only an active one can be cancelled.")
            working = self._taken_up(task)
            working.is_cancelled = True
            working.stopping.set()

    def run(self) -> None:
        """Work until no task is active. Ends within a moment after `stop`; the catalog knows where to go on."""
        try:
            while self._take_up():
                with self._lock:
                    working = list(self._working.items())
                for id, one in working:
                    if self._stopping.is_set():
                        return
                    self._step(id, one)
        except Stopped:
            return

    def stop(self) -> None:
        """Let `run` end."""
        with self._lock:
            self._stopping.set()
            for working in self._working.values():
                working.stopping.set()

    def _take_up(self) -> bool:
        """Begin with the tasks that are active and not worked on yet; whether there is anything to do."""
        with self._lock:
            for task in self._catalog.batch_loads.active():
                self._taken_up(task)
            return bool(self._working)

    def _taken_up(self, task: Task) -> _Working:
        """Its work, which begins with the next step if it has not. The lock is held."""
        working = self._working.get(task.id)
        if working is None:
            stopping = threading.Event()
            if self._stopping.is_set():
                stopping.set()
            working = self._working[task.id] = _Working(Run(task, self._around, stopping).steps(), stopping)
        return working

    def _step(self, id: str, working: _Working) -> None:
        """A piece of one task. What fails for a reason nobody foresaw stops that task; the runner tells of it."""
        try:
            if working.is_cancelled:
                raise Stopped
            next(working.steps)
        except StopIteration:
            self._forget(id)
        except Stopped:
            if self._stopping.is_set() or not working.is_cancelled:
                raise
            self._stop_task(id, CANCELLED)
            _log.info("batch load cancelled", task=id)
        except BaseException:
            self._stop_task(id, "The server could not go on; its log says why.")
            raise

    def _stop_task(self, id: str, message: str) -> None:
        """What is not told to the catalog yet is done again when the task is resumed."""
        tasks = self._catalog.batch_loads
        tasks.finish(id, TaskStatus.PROGRESS_STOPPED, message, tasks.task(id).progress)
        self._forget(id)

    def _forget(self, id: str) -> None:
        """Its state is in the catalog: so whoever finds it active there finds it here, too."""
        with self._lock:
            del self._working[id]


def _refused(fault: ObjectFault) -> Invalid | Unavailable:
    return Invalid(fault.message) if fault.is_user else Unavailable(fault.message)
