"""The store against a dictionary: versions, retries, flushes, compactions, restarts and kills in any order give the
same rows, and refuse the same records.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headwater.model.record import LowerVersion, SameVersion
from headwater.model.time import NS_PER_DAY
from support.block_rows import block_rows
from support.stores import NOW_NS, StoreFolder, records, series

HOSTS = ("a", "b")
TIMES = (NOW_NS - NS_PER_DAY, NOW_NS - 1, NOW_NS, NOW_NS + 1)
COLUMNS = ("usage", "load")
RECORD = st.tuples(
    st.sampled_from(HOSTS),
    st.sampled_from(TIMES),
    st.integers(1, 4),
    st.sampled_from([0.0, -0.0, 1.5]),
    st.sampled_from(COLUMNS),
)
"""Host, time, version, value, and the column that the value is in."""


def live_rows(folder: StoreFolder) -> list[tuple[str, int, str, str]]:
    """(host, time, column, value bits) of every live row, read as the engine would: memory tables and block files."""
    if not folder.store.columns(folder.table).measures:
        return []
    scan = folder.scan()
    tables = list(scan.memory)
    for part in scan.blocks:
        kept = block_rows(part)
        tables.append(kept.set_column(kept.schema.get_field_index("time"), "time", kept["time"].cast(pa.int64())))
    scan.close()
    return sorted(
        (row["host"], row["time"], name, row[name].hex())
        for table in tables
        for row in table.to_pylist()
        for name in COLUMNS
        if row.get(name) is not None
    )


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = StoreFolder(Path(self.temporary.name))
        self.model: dict[tuple[str, int], tuple[int, str, str]] = {}

    @rule(request=st.lists(RECORD, min_size=1, max_size=6))
    def write(self, request: list[tuple[str, int, int, float, str]]) -> None:
        expected = []
        for index, (host, time_ns, version, value, name) in enumerate(request):
            stored = self.model.get((host, time_ns))
            if stored is None or version > stored[0]:
                self.model[host, time_ns] = version, name, value.hex()
            elif version < stored[0]:
                expected.append((index, LowerVersion(version, stored[0])))
            elif (name, value.hex()) != stored[1:]:
                expected.append((index, SameVersion()))
        batches = []
        for name in dict.fromkeys(record[-1] for record in request):
            indexes = [index for index, record in enumerate(request) if record[-1] == name]
            batch = records([(series(request[i][0]), *request[i][1:4]) for i in indexes], name)
            batches.append(replace(batch, index=np.array(indexes)))
        conflicts = self.folder.write(*batches)
        assert [(conflict.index, conflict.kind) for conflict in conflicts] == expected

    @rule()
    def flush(self) -> None:
        self.folder.store.flush()

    @rule()
    def compact(self) -> None:
        self.folder.store.compact()

    @rule()
    def restart(self) -> None:
        self.folder.reopen()

    @rule()
    def kill(self) -> None:
        """Open the folder as a kill leaves it."""
        self.folder.open()

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        if hasattr(self, "folder"):
            assert live_rows(self.folder) == sorted(
                (host, at, name, bits) for (host, at), (_, name, bits) in self.model.items()
            )

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.close()
            self.temporary.cleanup()


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=15, stateful_step_count=14, deadline=None)
