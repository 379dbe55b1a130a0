"""Batch loads: tasks are made, resumed and worked on here. The face of this job for the server and the instance.

The runner calls `run`, which takes steps with each active task in turn, so that a small load does not wait for a large
one. What a task is stands in the catalog; after a restart whatever was active goes on. One step is `batch_load_run`'s
matter, the rules of a data model are `batch_load_model`'s.
Source: batch-load.md 1, 5; reliability.md 7. That buckets are looked at when a task is made is a guess.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import structlog

from headwater.catalog.catalog import Catalog
from headwater.errors import Invalid, Unavailable
from headwater.ingest.validate import required_dimension
from headwater.ingest.write import Records
from headwater.jobs.batch_load_csv import check_dialect
from headwater.jobs.batch_load_model import check_model
from headwater.jobs.batch_load_run import Run, Surroundings
from headwater.jobs.patience import Stopped
from headwater.model.batch_load import Load, ObjectPlace, Task, TaskStatus
from headwater.model.limits import Limits
from headwater.model.time import Clock
from headwater.objects import Buckets, ObjectFault

_log = structlog.get_logger("jobs")

MODEL_BYTES_MAX = 1024 * 1024


class BatchLoads:
    """All batch loads of the account. `run` belongs to one thread, the rest may be called from any."""

    def __init__(
        self,
        catalog: Catalog,
        records: Records,
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
        self._running: dict[str, Iterator[None]] = {}

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
        for bucket in (load.source.bucket, load.report.bucket):
            try:
                self._buckets.bucket(bucket).check()
            except ObjectFault as fault:
                raise _refused(fault) from fault
        now_ns = self._clock.now_ns()
        task = Task(self._new_id().upper(), database, table, target.id, load, now_ns, now_ns)
        return self._catalog.batch_loads.create(task, client_token, request)

    def resume(self, id: str) -> None:
        """Let a stopped task go on. Raises NotFound, Invalid, Throttled."""
        self._catalog.batch_loads.resume(id)

    def run(self) -> None:
        """Work until no task is active. Ends within a moment after `stop`; the catalog knows where to go on."""
        try:
            while self._take_up():
                for id, steps in list(self._running.items()):
                    if self._stopping.is_set():
                        return
                    self._step(id, steps)
        except Stopped:
            return

    def stop(self) -> None:
        """Let `run` end."""
        self._stopping.set()

    def _take_up(self) -> bool:
        """Begin with the tasks that are active and not worked on yet; whether there is anything to do."""
        for task in self._catalog.batch_loads.active():
            if task.id not in self._running:
                self._running[task.id] = Run(task, self._around, self._stopping).steps()
        return bool(self._running)

    def _step(self, id: str, steps: Iterator[None]) -> None:
        """A piece of one task. What fails for a reason nobody foresaw stops that task; the runner tells of it."""
        try:
            next(steps)
        except StopIteration:
            del self._running[id]
        except Stopped:
            raise
        except BaseException:
            del self._running[id]
            tasks = self._catalog.batch_loads
            message = "The server could not go on; its log says why."
            tasks.finish(id, TaskStatus.PROGRESS_STOPPED, message, tasks.task(id).progress)
            raise


def _refused(fault: ObjectFault) -> Invalid | Unavailable:
    return Invalid(fault.message) if fault.is_user else Unavailable(fault.message)
