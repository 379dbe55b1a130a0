"""A survey of the log for those who look after a data folder: all that its files hold, behind damage too, what is lost.

`upkeep` calls it, on a log that no server has open; a server's start is `wal/log`, which refuses what is damaged.
Changes nothing, but for `rewrite`, which makes one sound segment of all that can still be read.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from headwater.errors import Corrupt
from headwater.files import TEMPORARY_SUFFIX, Files
from headwater.sealing import DataKeys, Randomness
from headwater.wal.cipher import PayloadCipher
from headwater.wal.entry import EntryCodec
from headwater.wal.log import without_superseded
from headwater.wal.mark import read_mark
from headwater.wal.segment import (
    FOOTER_BYTES,
    HEADER_BYTES,
    SALT_BYTES,
    SEGMENT_SUFFIX,
    Segment,
    SegmentHeader,
    SegmentWriter,
    entry_places,
    inspect_bytes,
    segment_name,
    segment_number,
)


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """An entry that can be read, wherever it stands in its segment. `bytes` are with its header."""

    sequence: int
    offset: int
    bytes: int
    synced: int


@dataclass(frozen=True, slots=True)
class LogFlaw:
    """What is wrong with a file of the log, and at which offset."""

    path: Path
    offset: int
    wrong: str


@dataclass(frozen=True, slots=True)
class LogSurvey:
    """`entries` are those that can be read, by file. `lost` are the sequences that were durable once and are nowhere
    now; `last` is the highest sequence that there is proof of.
    """

    segments: tuple[Segment, ...]
    entries: Mapping[Path, tuple[FoundEntry, ...]]
    flaws: tuple[LogFlaw, ...]
    lost: tuple[range, ...]
    last: int
    torn_bytes: int
    rubbish: tuple[Path, ...]

    @property
    def first(self) -> int:
        """The lowest sequence that can be read, or is missed."""
        found = [entry.sequence for entries in self.entries.values() for entry in entries]
        return min([*found, *(gap.start for gap in self.lost)], default=self.last + 1)


def survey_log(files: Files, directory: Path, keys: DataKeys, needed: int) -> LogSurvey:
    """Read every segment. `needed` is the highest sequence that a checkpoint names: the log had it once.

    Raises NewerFormat, OSError, and whatever the keeper of keys does but Corrupt.
    """
    names = files.list(directory, site="survey.list") if files.exists(directory, site="survey.exists") else []
    flaws: list[LogFlaw] = []
    segments: list[Segment] = []
    entries: dict[Path, tuple[FoundEntry, ...]] = {}
    for path in (directory / name for name in names if segment_number(name) is not None):
        data = files.read(path, site="survey.read")
        try:
            segment = inspect_bytes(data, path)
            cipher = PayloadCipher(keys.open(segment.header.place, segment.header.slot))
        except Corrupt as fault:
            flaws.append(LogFlaw(path, 0, fault.message))
            continue
        segments.append(segment)
        entries[path] = tuple(entry for entry, _ in _readable(data, segment.header, cipher))
        flaws += _flaws_inside(data, segment, entries[path])
    live = without_superseded(segments)
    mark = 0
    try:
        mark = read_mark(files, directory)
    except Corrupt as fault:
        flaws.append(LogFlaw(directory / "mark", 0, fault.message))
        mark = live[0].header.first_sequence - 1 if live else needed
    flaws += _flaws_between(directory, live, mark)
    found = sorted({entry.sequence for of_file in entries.values() for entry in of_file})
    last = max([mark, needed, *found, *(segment.synced for segment in segments), *_beginnings(live)])
    first = min([mark + 1, *(segment.header.first_sequence for segment in live)])
    lost = tuple(_gaps(found, first, last))
    if lost and not flaws:
        flaws.append(LogFlaw(directory, 0, f"the log ends before entry {last}, which it had once"))
    return LogSurvey(
        segments=tuple(segments),
        entries=entries,
        flaws=tuple(flaws),
        lost=lost,
        last=last,
        torn_bytes=live[-1].torn_bytes if live and not flaws else 0,
        rubbish=tuple(directory / name for name in names if name.endswith(SEGMENT_SUFFIX + TEMPORARY_SUFFIX)),
    )


def rewrite(
    files: Files, directory: Path, survey: LogSurvey, keys: DataKeys, filler: bytes, randomness: Randomness
) -> Path:
    """Put all that can be read into one new, sealed segment; `filler` takes the place of what is lost. Durable.

    From then on it is the log: every older segment is superseded, and those that cannot be read are to be moved away.
    Holds the whole log in memory. Raises OSError, KeyUnusable, Unavailable.
    """
    payloads = _payloads(files, survey, keys)
    names = files.list(directory, site="survey.list")
    number = 1 + max((number for name in names if (number := segment_number(name)) is not None), default=0)
    key = keys.new(segment_name(number))
    header = SegmentHeader(number, survey.first, survey.last, randomness(SALT_BYTES), key.slot)
    whole = [payloads.get(sequence, filler) for sequence in range(survey.first, survey.last + 1)]
    writer = SegmentWriter.create(files, directory, header, key, 0, whole)
    writer.seal()
    writer.close()
    return writer.path


def read_entries(files: Files, path: Path, keys: DataKeys) -> tuple[Segment, list[tuple[FoundEntry, bytes]]]:
    """What one segment holds: its state, and each entry that can be read, with its payload. Raises Corrupt for its
    header, NewerFormat, OSError.
    """
    data = files.read(path, site="survey.read")
    segment = inspect_bytes(data, path)
    cipher = PayloadCipher(keys.open(segment.header.place, segment.header.slot))
    return segment, list(_readable(data, segment.header, cipher))


def _payloads(files: Files, survey: LogSurvey, keys: DataKeys) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for segment in survey.segments:
        _, entries = read_entries(files, segment.path, keys)
        found |= {entry.sequence: payload for entry, payload in entries}
    return found


def _readable(data: bytes, header: SegmentHeader, cipher: PayloadCipher) -> Iterator[tuple[FoundEntry, bytes]]:
    """Every entry that is whole and can be opened, in order of place, and its payload."""
    codec, end = EntryCodec(header.salt), HEADER_BYTES
    for offset in entry_places(data, HEADER_BYTES):
        found = codec.header(data, offset) if offset >= end else None
        sealed = codec.payload(data, offset, found) if found else None
        payload = cipher.unseal(found.sequence, sealed) if found and sealed is not None else None
        if found and payload is not None:
            end = offset + found.entry_bytes
            yield FoundEntry(found.sequence, offset, found.entry_bytes, found.synced), payload


def _flaws_inside(data: bytes, segment: Segment, found: tuple[FoundEntry, ...]) -> Iterator[LogFlaw]:
    """What one file shows to be wrong with it, whatever other files there are."""
    path = segment.path
    offset, readable = HEADER_BYTES, {entry.offset for entry in found}
    for sequence, size in enumerate(segment.entry_bytes, segment.header.first_sequence):
        if offset not in readable:
            yield LogFlaw(path, offset, f"entry {sequence} passes its checksum and cannot be opened")
        offset += size
    if segment.synced >= segment.next_sequence:
        yield LogFlaw(path, segment.end, f"entry {segment.next_sequence} was durable and cannot be read")
    elif not segment.is_sealed and segment.torn_bytes and len(data) == segment.end + FOOTER_BYTES:
        yield LogFlaw(path, segment.end, "the footer fails its checksum")


def _flaws_between(directory: Path, live: list[Segment], mark: int) -> Iterator[LogFlaw]:
    """Where segments do not follow each other."""
    if live and live[0].header.first_sequence > mark + 1:
        wrong = f"entries {mark + 1} to {live[0].header.first_sequence - 1} stood in a segment that is missing"
        yield LogFlaw(directory, 0, wrong)
    for segment, following in pairwise(live):
        expected = following.header.first_sequence
        # One that shows its own damage has told it already.
        if segment.next_sequence < expected and segment.synced < segment.next_sequence:
            wrong = f"entries {segment.next_sequence} to {expected - 1} are missing behind it"
            yield LogFlaw(segment.path, segment.end, wrong)
        elif segment.next_sequence > expected:
            yield LogFlaw(segment.path, segment.end, f"{following.path.name} begins again at entry {expected}")


def _beginnings(live: list[Segment]) -> array[int]:
    """What came before a segment was durable when it was made."""
    return array("Q", [segment.header.first_sequence - 1 for segment in live])


def _gaps(found: list[int], first: int, last: int) -> Iterator[range]:
    """The runs of sequences from `first` to `last` that are not among those found, which ascend."""
    expected = first
    for sequence in [*(n for n in found if n >= first), last + 1]:
        if sequence > expected:
            yield range(expected, sequence)
        expected = max(expected, sequence + 1)
