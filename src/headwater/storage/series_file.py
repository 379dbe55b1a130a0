"""The series file of a table: all that its blocks' directories say of series, in one file that is read at once.

`table.py` reads it when the table is opened and writes it anew when many blocks have come since. It is a help and no
truth: it names the blocks it speaks of, whatever it lacks is read from their directories, and without it all is. It may
know more than the live blocks do, series that only the log holds or that have expired: that costs a look and no answer.
Sealed like a block (sealing.py); inside an Arrow file, drawn in docs/format/series.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headwater.errors import Corrupt
from headwater.files import TEMPORARY_SUFFIX, Appender, Files, SourceFile
from headwater.sealing import ChunkCache, SealedSource, SealingFile, Vault
from headwater.storage.arrays import Int64s
from headwater.storage.series import SeriesArrays, SeriesIndex
from headwater.storage.texts import Coded, Texts

SERIES_FILE = "series"

FORMAT = 1
_KEY = b"headwater.series"
_DIMENSION = "dimension "


class _Facts(msgspec.Struct):
    """What stands beside the columns. `blocks` maps the id of each block covered to its first and last leading key."""

    format: int
    shapes: list[tuple[str, ...]]
    measure_types: dict[str, dict[str, list[str]]]
    displaced: list[int]
    blocks: dict[str, tuple[str, str]]


# Made here and not at the first use, which may come on several threads at once: see `wire/codec`.
_decode_facts = msgspec.json.Decoder(_Facts).decode


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """What a series file holds: the index, and of each block it covers the first and last leading key."""

    series: SeriesIndex
    blocks: dict[str, tuple[str, str]]


def write_series_file(
    files: Files,
    vault: Vault,
    folder: Path,
    series: SeriesIndex,
    last_time: Int64s,
    blocks: Mapping[str, tuple[str, str]],
) -> None:
    """Put the series of the table durably in place of what the file held: as many as `last_time` has entries.

    They must be all that these blocks have; `last_time` is of published records only, for others may never be there.
    Raises OSError, KeyUnusable, Unavailable; the old file stays.
    """
    count = len(last_time)
    arrays = series.arrays(count)
    facts = _Facts(FORMAT, arrays.shapes, arrays.measure_types, arrays.displaced, dict(blocks))
    columns: dict[str, pa.Array] = {
        "id": pa.array(arrays.ids),
        "first_time": pa.array(arrays.first_time),
        "last_time": pa.array(last_time),
        "type_bits": pa.array(arrays.type_bits),
        "shape": pa.array(arrays.shape),
        "measure_name": _encoded(arrays.measure_name, count),
    }
    columns |= {_DIMENSION + name: _encoded(coded, count) for name, coded in arrays.dimensions.items()}
    table = pa.table(columns).replace_schema_metadata({_KEY: msgspec.json.encode(facts)})
    path = folder / SERIES_FILE
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    key = vault.keys.new(_place(folder))
    file = files.create(temporary, site="series.write")
    try:
        sink = SealingFile(Appender(file, "series.write").append, key)
        with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(table)
        sink.finish()
    finally:
        file.close(site="series.write")
    files.publish(temporary, path, site="series.write")


def read_series_file(files: Files, vault: Vault, folder: Path) -> KnownSeries | None:
    """What the file holds; None when there is none. Raises Corrupt and whatever opening a sealed file raises."""
    path = folder / SERIES_FILE
    if not files.exists(path, site="series.exists"):
        return None
    # The file is read once, and what comes in its place has its name: none of it may stay in a cache.
    uncached = Vault(vault.keys, ChunkCache(0))
    try:
        sealed = SealedSource(files.open_source(path, site="series.read"), _place(folder), uncached)
        with SourceFile(sealed) as source, pa.ipc.open_file(source) as reader:
            table = reader.read_all().combine_chunks()
        facts = _decode_facts(table.schema.metadata[_KEY])
        if facts.format != FORMAT:
            raise Corrupt(f"the series file of table {folder.name} has format {facts.format}; {FORMAT} is known")
        return KnownSeries(SeriesIndex.of(_arrays(table, facts)), facts.blocks)
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise Corrupt(f"the series file of table {folder.name}: {error}") from error


def _place(folder: Path) -> str:
    return f"{folder.name}/{SERIES_FILE}"


def _encoded(coded: Coded, count: int) -> pa.DictionaryArray:
    codes = coded.codes_of(np.arange(count, dtype=np.int32))
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), coded.texts.dictionary())


def _arrays(table: pa.Table, facts: _Facts) -> SeriesArrays:
    dimensions = [name for name in table.column_names if name.startswith(_DIMENSION)]
    return SeriesArrays(
        ids=_numbers(table, "id"),
        first_time=_numbers(table, "first_time"),
        last_time=_numbers(table, "last_time"),
        type_bits=_numbers(table, "type_bits"),
        shape=_numbers(table, "shape"),
        measure_name=_coded(table, "measure_name"),
        dimensions={name.removeprefix(_DIMENSION): _coded(table, name) for name in dimensions},
        shapes=facts.shapes,
        measure_types=facts.measure_types,
        displaced=facts.displaced,
    )


def _numbers(table: pa.Table, name: str) -> npt.NDArray[Any]:
    numbers: npt.NDArray[Any] = table[name].combine_chunks().to_numpy()
    return numbers


def _coded(table: pa.Table, name: str) -> Coded:
    column = table[name].combine_chunks()
    return Coded(Texts(column.dictionary), column.indices.fill_null(-1).to_numpy())
