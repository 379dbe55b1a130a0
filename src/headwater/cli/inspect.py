"""`headwater inspect`: what a data folder, or one file of it, holds: in words, or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from headwater.cli.folder import BLOCK_SETTINGS, KEY_SETTINGS, add_folder, config_of
from headwater.errors import Unavailable
from headwater.files import LocalFiles
from headwater.model.time import SystemClock
from headwater.upkeep.describe import Description, described
from headwater.upkeep.folder import stored_files

EPILOG = """Without FILE: databases, tables, live blocks and the log. FILE is a segment (wal/*.log), a block
(blocks/*/*.parquet), a series file, the log's mark, or catalog.sqlite; in DIR or with its path. A server may run on the
folder. Needs the master key. Prints no values of dimensions or measures."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("directory", type=Path, metavar="DIR", help="The data folder.")
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE", help="One file of it.")
    add_folder(parser, *KEY_SETTINGS, *BLOCK_SETTINGS, data=False)
    parser.add_argument("--json", action="store_true", help="Print one JSON document.")


def run(arguments: argparse.Namespace) -> int:
    """Print the description. Raises as `described` and `Describer.file`."""
    data = arguments.directory.absolute()
    config = config_of(arguments)
    files = stored_files(LocalFiles(), data, config, SystemClock())
    try:
        with (
            tempfile.TemporaryDirectory() as scratch,
            described(files, data, config, SystemClock(), Path(scratch)) as describer,
        ):
            file = arguments.file
            found = describer.manifest() if file is None else describer.file(_path(data, file))
    except OSError as error:
        raise Unavailable(str(error)) from error
    if arguments.json:
        json.dump(found, sys.stdout, indent=2, ensure_ascii=False)
        print()
    else:
        print("\n".join(WORDS[found["is"]](found)))
    return 0


def _path(data: Path, file: Path) -> Path:
    """The file as it is named, or else as it is named in the folder."""
    return file.absolute() if file.is_relative_to(data) or file.absolute().is_relative_to(data) else data / file


def _manifest(found: Description) -> Iterator[str]:
    for table in found["tables"]:
        blocks = table["blocks"]
        yield (
            f'"{table["database"]}"."{table["table"]}" ({table["id"]}): kept {table["memory_hours"]} hours and then '
            f"{table['magnetic_days']} days"
        )
        for column in table["columns"]:
            stored = f" as {column['physical']}" if column["physical"] != column["name"] else ""
            yield f"  column {column['name']}: {column['kind'].lower()}, {column['type']}{stored}"
        rows = sum(block["rows"] - block["replaced_rows"] for block in blocks)
        yield f"  {len(blocks)} blocks with {rows} records; the log up to entry {table['checkpoint']} is in them"
        for block in blocks:
            yield (
                f"  block {block['id']}: {block['day']}, {block['rows']} rows, {block['replaced_rows']} of them "
                f"replaced, {block['bytes']} bytes, {block['from']} to {block['to']}"
            )
    yield f"the log: {len(found['log'])} segments"
    yield from (f"  {_segment_line(segment)}" for segment in found["log"])


def _segment_line(segment: Mapping[str, Any]) -> str:
    state = "sealed" if segment["sealed"] else "takes entries, or a crash left it"
    span = f"{segment['first_sequence']} to {segment['last_sequence']}" if segment["entries"] else "none"
    return f"{segment['file']}: entries {span}, {segment['entry_bytes']} bytes, {state}"


def _segment(found: Description) -> Iterator[str]:
    yield _segment_line(found)
    yield f"number {found['number']}; durable when it was made: entries up to {found['synced_sequence']}"
    if found["torn_bytes"]:
        yield f"{found['torn_bytes']} bytes behind the last whole entry"
    for entry in found["content"]:
        place = f"entry {entry['sequence']} at {entry['offset']}, {entry['bytes']} bytes"
        if "reports" in entry:
            yield f"{place}: {entry['reports']} reports of rejected records"
            continue
        yield f"{place}: {sum(batch['rows'] for batch in entry['batches'])} records"
        for batch in entry["batches"]:
            columns = ", ".join(batch["columns"])
            yield f"  {batch['table']}: {batch['rows']} rows of {columns}, {batch['from']} to {batch['to']}"


def _block(found: Description) -> Iterator[str]:
    state = "live" if found["live"] else "not in the manifest"
    yield f"{found['file']}: {state}; {found['table']}, {found['day']}; format {found['format']}, {found['written_by']}"
    yield (
        f"{found['rows']} rows of {found['series']} series, {found['replaced_rows']} of them replaced; "
        f"{found['from']} to {found['to']}; sorted by {found['sorted_by']}"
    )
    yield f"row groups: {', '.join(map(str, found['row_groups']))}"
    yield from (f"column {name}: {kind}" for name, kind in found["columns"].items())


def _series(found: Description) -> Iterator[str]:
    yield f"{found['table']}: {found['series']} series, of {found['blocks']} blocks"


def _mark(found: Description) -> Iterator[str]:
    yield f"the log is not needed up to entry {found['not_needed_up_to']}"


WORDS: Mapping[str, Callable[[Description], Iterator[str]]] = {
    "manifest": _manifest,
    "segment": _segment,
    "block": _block,
    "series": _series,
    "mark": _mark,
}
