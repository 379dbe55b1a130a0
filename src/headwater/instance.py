"""The composition root: opens, wires and closes everything that a running server needs.

`cli/serve` opens one per process and hands it to the server; tests open one beside a clock of their own. Nothing
else builds a collaborator.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import structlog

from headwater.bucket.files import BucketFiles, open_block_store
from headwater.catalog.catalog import NO_TAGS, Catalog
from headwater.catalog.database_keys import REFRESH_INTERVAL_S
from headwater.config import Config, NotificationSettings, ObjectSettings
from headwater.engine.engine import Engine
from headwater.errors import Invalid
from headwater.files import Files, LocalFiles, Lock
from headwater.ingest.write import Ingest
from headwater.jobs import listing
from headwater.jobs.batch_load import BatchLoads
from headwater.jobs.facts import gather
from headwater.jobs.notify import Channel, Notifications, channels_of
from headwater.jobs.reports import Reports
from headwater.jobs.rewrap import Rewrap
from headwater.jobs.runner import Job, Runner
from headwater.jobs.scheduled import Scheduled
from headwater.jobs.scheduled_run import Rooms
from headwater.jobs.scheduling import Scheduling
from headwater.keyring.providers import open_provider
from headwater.model.facts import Facts
from headwater.model.job import JobLine
from headwater.model.region import timestream_arn
from headwater.model.table import Retention, Table
from headwater.model.time import NS_PER_S, Clock, SystemClock
from headwater.objects import Buckets, buckets_at
from headwater.query.run import Queries
from headwater.query.spool import Spool
from headwater.rights.roles import Roles
from headwater.sealing import ChunkCache, Vault
from headwater.storage.space import Marks
from headwater.storage.store import Store
from headwater.wal.log import Log

_log = structlog.get_logger("instance")

LOCK_FILE = "lock"
CREDENTIALS_FILE = "credentials"
LOG_FOLDER = "wal"
BLOCKS_FOLDER = "blocks"
RESULTS_FOLDER = "results"

FLUSH_CHECK_INTERVAL_S = 1.0
SPACE_CHECK_INTERVAL_S = 1.0
LOG_INTERVAL_S = 0.1
COMPACTION_CHECK_INTERVAL_S = 5.0
RETENTION_INTERVAL_S = 60.0
SCRUB_CHECK_INTERVAL_S = 10.0
REPORTS_INTERVAL_S = 1.0
REWRAP_INTERVAL_S = 2.0
SCHEDULE_CHECK_INTERVAL_S = 0.5
NOTIFICATIONS_INTERVAL_S = 0.2
BATCH_LOAD_INTERVAL_S = 0.2
SWEEP_INTERVAL_S = 1.0
RESULT_CACHE_BYTES = 32 * 1024 * 1024


class Instance:
    """A data folder, opened. The attributes are the faces of the rooms, for the server's operations."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        lock: Lock,
        catalog: Catalog,
        log: Log,
        store: Store,
        engine: Engine,
        queries: Queries,
        buckets: Buckets,
        bucket: BucketFiles | None,
        rewrap: Rewrap,
        channels: tuple[Channel, ...],
        roles: Roles,
        new_id: Callable[[], str],
    ) -> None:
        self.config = config
        self.buckets = buckets
        self.clock = clock
        self.catalog = catalog
        self.store = store
        self.queries = queries
        self.ingest = Ingest(catalog, store, clock, config.limits)
        self.reports = Reports(catalog, store.late, buckets, clock)
        self.notifications = Notifications(channels, clock, new_id)
        rooms = Rooms(catalog, queries, self.ingest, buckets, clock, config.limits, new_id, roles)
        self.scheduled = Scheduled(rooms, self.notifications)
        arn_prefix = timestream_arn(config.server.region, config.server.account, "scheduled-query/")
        self.scheduling = Scheduling(catalog, store, queries, arn_prefix, new_id, self.notifications.send, roles)
        self.batch_loads = BatchLoads(catalog, store, buckets, clock, config.limits, new_id)
        self.token_key = catalog.keys.token_key
        self._lock = lock
        self._log = log
        self._engine = engine
        self._jobs = Runner(
            (
                Job("space", SPACE_CHECK_INTERVAL_S, store.keep_space),
                Job("log", LOG_INTERVAL_S, log.prepare),
                Job("flush", FLUSH_CHECK_INTERVAL_S, store.flush_due),
                Job("compaction", COMPACTION_CHECK_INTERVAL_S, store.compact_due, store.stop_jobs),
                Job("retention", RETENTION_INTERVAL_S, store.expire_due, store.stop_jobs),
                Job("scrub", SCRUB_CHECK_INTERVAL_S, store.scrub_due, store.stop_jobs),
                Job("reports", REPORTS_INTERVAL_S, self.reports.run, self.reports.stop),
                Job("scheduled queries", SCHEDULE_CHECK_INTERVAL_S, self.scheduled.run, self.scheduled.stop),
                Job("notifications", NOTIFICATIONS_INTERVAL_S, self.notifications.run, self.notifications.stop),
                Job("batch load", BATCH_LOAD_INTERVAL_S, self.batch_loads.run, self.batch_loads.stop),
                Job("keys", REFRESH_INTERVAL_S, catalog.database_keys.refresh),
                Job("rewrap", REWRAP_INTERVAL_S, rewrap.run),
                *([] if bucket is None else [Job("bucket", SWEEP_INTERVAL_S, bucket.sweep)]),
            )
        )

    @classmethod
    def open(
        cls,
        config: Config,
        *,
        clock: Clock | None = None,
        files: Files | None = None,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
        on_failure: Callable[[], None] = lambda: None,
    ) -> Instance:
        """Open the data folder, or make a new one with a first access key in `credentials`.

        On return every acknowledged record of the past is visible. `on_failure` is called when the log has failed
        and the process should end. Raises Locked, NewerFormat, Corrupt, Invalid; nothing is changed then.
        """
        clock, files = clock or SystemClock(), files or LocalFiles()
        os.umask(0o077)
        files.make_directory(config.data, site="instance.data")
        lock = files.lock(config.data / LOCK_FILE, site="instance.lock")
        try:
            instance = cls._in_folder(config, clock, files, randomness, on_failure, lock)
        except BaseException:
            lock.release()
            raise
        instance._jobs.start()
        return instance

    @classmethod
    def _in_folder(
        cls,
        config: Config,
        clock: Clock,
        files: Files,
        randomness: Callable[[int], bytes],
        on_failure: Callable[[], None],
        lock: Lock,
    ) -> Instance:
        """The rooms, opened one on the other."""

        def new_id() -> str:
            return randomness(16).hex()

        def new_query_id() -> str:
            return base64.b32encode(randomness(40)).decode()[:63]

        data, server, limits = config.data, config.server, config.limits
        buckets = open_buckets(files, config.objects)
        bucket = _bucket(files, config, buckets, clock, new_id)
        stored = bucket or files
        roles = Roles(files, server.roles, server.region, server.account)
        roles.check()
        channels = _channels(files, config.notifications, server.region, roles)
        provider = open_provider(config.keys, files, data, clock, randomness)
        catalog = Catalog.open(files, data, provider, server.account, server.region, clock, randomness, limits)
        _write_credentials(files, data, catalog, randomness)
        blocks = data / BLOCKS_FOLDER
        files.make_directory(blocks, site="instance.blocks")
        log = Log.open(files, data / LOG_FOLDER, config.wal, catalog.keys.log)
        vault = Vault(catalog.database_keys, ChunkCache(config.keys.cache_bytes))
        manifest = catalog.manifest
        store = Store(stored, vault, blocks, log, manifest, catalog, clock, config.storage, limits, new_id, on_failure)
        store.open()
        engine = Engine(threads=config.query.threads, memory_bytes=config.query.memory_bytes)
        result_vault = Vault(catalog.keys.log, ChunkCache(RESULT_CACHE_BYTES))
        spool = Spool(files, data / RESULTS_FOLDER, result_vault, limits.result_bytes)
        spool.open(clock.now_ns() // NS_PER_S)
        token_key = catalog.keys.token_key
        queries = Queries(
            catalog, store, engine, clock, config.query, limits, spool, buckets, token_key, new_query_id, randomness
        )
        rewrap = Rewrap(stored, blocks, catalog)
        return cls(
            config,
            clock,
            lock,
            catalog,
            log,
            store,
            engine,
            queries,
            buckets,
            bucket,
            rewrap,
            channels,
            roles,
            new_id,
        )

    def close(self) -> None:
        """Finish the writes that wait, end the queries, seal the log. Safe to call once.

        Raises LogFailed if the log cannot be sealed, when all else is closed.
        """
        with ExitStack() as stack:
            # The last one pushed is closed first; each is, whatever became of those before it.
            stack.callback(self._lock.release)
            stack.callback(self.catalog.close)
            stack.callback(self._engine.close)
            stack.callback(self._log.close)
            stack.callback(self.store.close)
            stack.callback(self.queries.close)
            stack.callback(self._jobs.stop)

    def jobs(self) -> Sequence[JobLine]:
        """All work in the background, what runs now first."""
        return listing.job_lines(self.catalog, self.scheduled, self._jobs)

    def cancel_job(self, id: str) -> str:
        """End a job by the name that its line has; what to tell who asked. Raises Invalid, NotFound."""
        return listing.cancel(id, self.catalog, self.scheduled, self.batch_loads, self._jobs)

    def facts(self) -> Facts:
        """How the server stands, as numbers, for its metrics."""
        return gather(
            self.catalog,
            self.store,
            self.ingest,
            self.queries,
            self.reports,
            self.scheduled,
            self.notifications,
            self._jobs,
        )

    def refusal(self) -> str | None:
        """Why the server is not ready for all requests, None if it is. As `Store.refusal`."""
        return self.store.refusal()

    def secret_of(self, access_key_id: str) -> str | None:
        """The secret of an access key of the account, or None."""
        return self.catalog.keys.secret_of(access_key_id)

    def create_table(
        self,
        database: str,
        name: str,
        retention: Retention | None,
        magnetic_writes: Mapping[str, object] | None,
        partition_key: Sequence[Mapping[str, str]] | None,
        tags: Mapping[str, str] = NO_TAGS,
    ) -> Table:
        """A table that records can be written to on return. Raises as `Catalog.create_table`."""
        return self.catalog.create_table(database, name, retention, magnetic_writes, partition_key, tags)

    def drop_table(self, database: str, name: str) -> None:
        """Delete a table with all its records. Raises NotFound."""
        self.store.drop_table(self.catalog.delete_table(database, name))


def open_buckets(files: Files, settings: ObjectSettings) -> Buckets:
    """The buckets that the settings name. Raises Invalid when the credentials cannot be read."""
    return buckets_at(settings.url, settings.region, _text_of(files, settings.credentials, "object_store_credentials"))


def _bucket(
    files: Files, config: Config, buckets: Buckets, clock: Clock, new_id: Callable[[], str]
) -> BucketFiles | None:
    """The file system of blocks that lie in a bucket, if the settings say so. Raises Invalid, Unavailable."""

    def spare_bytes() -> int:
        """The cache stays away from where writes would be refused."""
        device_bytes = files.device_bytes(config.data, site="instance.device")
        return 2 * Marks.of(device_bytes, config.storage.disk_low_percent, config.storage.disk_low_bytes).resume_bytes

    blocks = config.data / BLOCKS_FOLDER
    return open_block_store(files, config.data, blocks, buckets, config.block_store, spare_bytes, clock, new_id)


def _channels(files: Files, settings: NotificationSettings, region: str, roles: Roles) -> tuple[Channel, ...]:
    """Whom the settings name for notifications. Raises Invalid when the credentials cannot be read."""
    return channels_of(settings, region, _text_of(files, settings.sns_credentials, "sns_credentials"), roles)


def _text_of(files: Files, path: Path | None, setting: str) -> str | None:
    """The text of the file that a setting names, if it names one. Raises Invalid."""
    if path is None:
        return None
    try:
        return files.read(path, site=f"instance.{setting}").decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{setting}: {path} cannot be read: {error}") from error


def _write_credentials(files: Files, data: Path, catalog: Catalog, randomness: Callable[[int], bytes]) -> None:
    """Make the first access key, once, and put it where AWS clients look when told so."""
    path = data / CREDENTIALS_FILE
    if catalog.keys.access_key_ids() and files.exists(path, site="instance.credentials"):
        return
    key = catalog.keys.create_access_key(randomness)
    text = f"[default]\naws_access_key_id = {key.id}\naws_secret_access_key = {key.secret}\n"
    files.write_file(path, text.encode(), site="instance.credentials")
    _log.info("first access key made", file=str(path))
