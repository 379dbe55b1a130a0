"""CSV as batch loads have it: from parts of a file to rows of texts, a chunk at a time, each row with its lines.

`batch_load_run` reads files with this. It knows the dialect, quotes and lines, and keeps count of bytes, so that a file
can be taken up again between any two rows. What a column means, and whether a value is any good, is not known here.
Source: batch-load.md 2; the grammar is a guess: a quote counts at the start of a field only, a doubled one is one,
lines end in LF or CRLF, lines without any character are no rows.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import accumulate, islice

from headwater.errors import Invalid
from headwater.model.batch_load import START, Dialect, Position

CHUNK_ROWS = 8_192
CHUNK_BYTES = 4 * 1024 * 1024
STEP_ROWS = 512
"""So many rows are read before bytes are counted again."""

UNREADABLE = "The line is not valid CSV in the dialect of the task."
WRONG_WIDTH = "The number of values is not the number of columns in the header."
NOT_UTF_8 = "The line is not valid UTF-8."

_SEPARATORS = (",", "|", ";", "\t", " ")
_QUOTES = ("'", '"')


class BadFile(Exception):
    """A file that cannot be loaded, or not any further; `reason` is for the report."""

    def __init__(self, reason: str, line: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of a file. `columns[i]` are the texts below `header[i]`, a text per row; all columns are of one length.

    `lines[i]` are the first and the last line of row i; `failed` are rows that are none, with their reasons, in the
    order of lines. `end` is the place behind all of them.
    """

    columns: list[tuple[str, ...]]
    lines: list[tuple[int, int]]
    failed: list[tuple[tuple[int, int], str]]
    end: Position

    @property
    def rows(self) -> int:
        return len(self.lines)


def check_dialect(dialect: Dialect) -> None:
    """Raise Invalid for characters that a dialect cannot have. The texts are guesses."""
    separator, quote, escape = dialect.column_separator, dialect.quote_char, dialect.escape_char
    if separator is not None and separator not in _SEPARATORS:
        raise Invalid("ColumnSeparator must be a comma, a pipe, a semicolon, a tab or a blank.")
    if quote is not None and quote not in _QUOTES:
        raise Invalid("QuoteChar must be a single or a double quote.")
    if escape is not None and escape in ("\n", "\r", separator or ","):
        raise Invalid("EscapeChar must not be the column separator or the end of a line.")


class Rows:
    """The rows of one file from one place on. One thread."""

    def __init__(self, parts: Iterable[bytes], dialect: Dialect, row_bytes_max: int, start: Position = START) -> None:
        """`parts` are the bytes of the file from `start`, which is a place between two rows."""
        self._parts = parts
        self._row_bytes_max = row_bytes_max
        self._is_at_begin = start == START
        self._is_trimmed = bool(dialect.trim_white_space)
        self._start_line = start.line
        self._offset = start.offset
        self._has_bad_bytes = False
        # The library's own limit is 128 KiB, for the whole process. Nothing else here reads CSV with it.
        csv.field_size_limit(row_bytes_max)
        quote = dialect.quote_char or '"'
        # An escape character that is the quote says what doubling says anyway.
        escape = None if dialect.escape_char == quote else dialect.escape_char
        self._reader = csv.reader(
            self._lines(),
            delimiter=dialect.column_separator or ",",
            quotechar=quote,
            escapechar=escape,
            doublequote=True,
            strict=True,
        )

    @property
    def position(self) -> Position:
        """The place behind the rows read by now."""
        return Position(self._offset, self._start_line + self._reader.line_num)

    def header(self) -> list[str]:
        """The names of the columns, which are the first row. Raises BadFile where there is none."""
        try:
            names = next(self._reader, None)
        except csv.Error as error:
            raise BadFile(UNREADABLE) from error
        if not names:
            raise BadFile("The file has no header.")
        if self._has_bad_bytes and _is_bad(names):
            raise BadFile(NOT_UTF_8)
        return [name.strip() for name in names] if self._is_trimmed else names

    def chunk(self, width: int) -> Chunk | None:
        """The next rows, all of `width` values; None at the end of the file. Raises BadFile."""
        begin = self._offset
        rows: list[list[str]] = []
        lines: list[tuple[int, int]] = []
        failed: list[tuple[tuple[int, int], str]] = []
        is_over = False
        while not is_over and len(rows) < CHUNK_ROWS and self._offset - begin < CHUNK_BYTES:
            first, known = self.position.line + 1, len(rows)
            try:
                rows.extend(islice(self._reader, STEP_ROWS))
                is_over = len(rows) - known < STEP_ROWS
                lines.extend(_lines_of(rows[known:], first, self.position.line))
            except csv.Error:
                # What came before the bad row was appended.
                lines.extend(_lines_of(rows[known:], first, None))
                failed.append(((lines[-1][1] + 1 if len(rows) > known else first, self.position.line), UNREADABLE))
        if self._offset == begin:
            return None
        if self._has_bad_bytes or set(map(len, rows)) != {width}:
            rows, lines = self._sound(rows, lines, width, failed)
        columns: list[tuple[str, ...]] = list(zip(*rows, strict=True)) if rows else [()] * width
        return Chunk(columns, lines, failed, self.position)

    def _sound(
        self,
        rows: list[list[str]],
        lines: list[tuple[int, int]],
        width: int,
        failed: list[tuple[tuple[int, int], str]],
    ) -> tuple[list[list[str]], list[tuple[int, int]]]:
        """The rows that are texts and of the right width; the others are added to `failed`, but for empty lines."""
        sound = []
        for row, at in zip(rows, lines, strict=True):
            if not row:
                continue
            if self._has_bad_bytes and _is_bad(row):
                failed.append((at, NOT_UTF_8))
            elif len(row) != width:
                failed.append((at, WRONG_WIDTH))
            else:
                sound.append((row, at))
        failed.sort()
        return [row for row, _ in sound], [at for _, at in sound]

    def _lines(self) -> Iterator[str]:
        """Lines with their ends; `_offset` is behind the one given last. Bytes that are no UTF-8 become surrogates."""
        for block in self._blocks():
            try:
                text = block.decode()
            except UnicodeDecodeError:
                text = block.decode(errors="surrogateescape")
                self._has_bad_bytes = True
            is_ascii = text.isascii()
            for line in StringIO(text, newline="\n"):
                self._offset += len(line) if is_ascii else len(line.encode(errors="surrogateescape"))
                if self._is_at_begin:
                    self._is_at_begin = False
                    yield line.removeprefix("\ufeff")
                else:
                    yield line

    def _blocks(self) -> Iterator[bytes]:
        """The parts, cut anew behind ends of lines."""
        rest = b""
        for part in self._parts:
            end = part.rfind(b"\n") + 1
            if end:
                yield rest + part[:end]
                rest = part[end:]
            else:
                rest += part
            if len(rest) > self._row_bytes_max:
                line = self._start_line + self._reader.line_num + 1
                raise BadFile(f"A row exceeds the maximum size of {self._row_bytes_max} bytes.", line)
        if rest:
            yield rest


def _lines_of(rows: Sequence[list[str]], first: int, last: int | None) -> Iterable[tuple[int, int]]:
    """First and last line of each of some rows that begin in the line `first` and end in `last`, if that is known."""
    if last == first + len(rows) - 1:
        numbers = range(first, last + 1)
        return zip(numbers, numbers, strict=True)
    lengths = [1 + sum(text.count("\n") for text in row) for row in rows]
    ends = list(accumulate(lengths, initial=first - 1))
    return [(end - length + 1, end) for length, end in zip(lengths, ends[1:], strict=True)]


def _is_bad(row: list[str]) -> bool:
    """Whether a row holds bytes that were no UTF-8."""
    text = "".join(row)
    if text.isascii():
        return False
    return any("\udc80" <= character <= "\udcff" for character in text)
