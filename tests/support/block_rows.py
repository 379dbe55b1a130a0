"""The rows of a block of a scan, read in one piece and not by the engine."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from headwater.files import SourceFile
from headwater.model.scan import BlockPart


def block_rows(part: BlockPart) -> pa.Table:
    """Those that are not replaced, in their order."""
    table = pq.read_table(SourceFile(part.open()))
    gone = set() if part.deleted_rows is None else set(part.deleted_rows.tolist())
    return table.take(pa.array([row for row in range(table.num_rows) if row not in gone], pa.int64()))
