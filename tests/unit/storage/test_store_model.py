"""The store against a dictionary: versions, retries, flushes and restarts in any order give the same rows."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headwater.model.record import LowerVersion, SameVersion
from headwater.model.time import NS_PER_DAY
from support.stores import NOW_NS, StoreFolder, records, series

HOSTS = ("a", "b")
TIMES = (NOW_NS - NS_PER_DAY, NOW_NS - 1, NOW_NS, NOW_NS + 1)
RECORD = st.tuples(st.sampled_from(HOSTS), st.sampled_from(TIMES), st.integers(1, 4), st.sampled_from([0.0, -0.0, 1.5]))


def live_rows(folder: StoreFolder) -> list[tuple[str, int, str]]:
    """(host, time, value bits) of every live row, read as the engine would: memory tables and block files."""
    if not folder.store.columns(folder.table).measures:
        return []
    scan = folder.scan()
    tables = list(scan.memory)
    for part in scan.blocks:
        table = pq.read_table(part.path)
        gone = set() if part.deleted_rows is None else set(part.deleted_rows.tolist())
        kept = table.take(pa.array([row for row in range(table.num_rows) if row not in gone], pa.int64()))
        tables.append(kept.set_column(kept.schema.get_field_index("time"), "time", kept["time"].cast(pa.int64())))
    scan.close()
    rows = [row for table in tables for row in table.select(["host", "time", "usage"]).to_pylist()]
    return sorted((row["host"], row["time"], row["usage"].hex()) for row in rows)


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = StoreFolder(Path(self.temporary.name))
        self.model: dict[tuple[str, int], tuple[int, str]] = {}

    @rule(batch=st.lists(RECORD, min_size=1, max_size=5))
    def write(self, batch: list[tuple[str, int, int, float]]) -> None:
        expected = []
        for index, (host, time_ns, version, value) in enumerate(batch):
            stored = self.model.get((host, time_ns))
            if stored is None or version > stored[0]:
                self.model[host, time_ns] = version, value.hex()
            elif version < stored[0]:
                expected.append((index, LowerVersion(version, stored[0])))
            elif value.hex() != stored[1]:
                expected.append((index, SameVersion()))
        conflicts = self.folder.write(records([(series(host), *rest) for host, *rest in batch]))
        assert [(conflict.index, conflict.kind) for conflict in conflicts] == expected

    @rule()
    def flush(self) -> None:
        self.folder.store.flush()

    @rule()
    def restart(self) -> None:
        self.folder.reopen()

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        if hasattr(self, "folder"):
            assert live_rows(self.folder) == sorted((host, at, bits) for (host, at), (_, bits) in self.model.items())

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.close()
            self.temporary.cleanup()


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
