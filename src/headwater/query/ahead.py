"""Reading ahead: the page that a client will ask for next is made while it reads the one that it has.

`run` begins one with each page that has a token. One thread makes them all: when it is behind, a call makes its page
itself and waits for nobody.
"""

from __future__ import annotations

from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass

from headwater.errors import Fault
from headwater.query.result import Page, Result


@dataclass(frozen=True, slots=True)
class Ahead:
    """A page that begins at this row, for a client that asks for so many rows at most."""

    start: int
    max_rows: int
    page: Future[Page]


class ReadAhead:
    """The thread. Any other may call."""

    def __init__(self, page_bytes: int) -> None:
        self._page_bytes = page_bytes
        self._pool = ThreadPoolExecutor(1, "read-ahead")

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self, result: Result, start: int, max_rows: int) -> Ahead | None:
        """None once it is closed."""
        try:
            return Ahead(start, max_rows, self._pool.submit(result.page, start, max_rows, self._page_bytes))
        except RuntimeError:
            return None

    def page(self, ahead: Ahead | None, result: Result, start: int, max_rows: int) -> Page:
        """The page, made before or now. Raises as `Result.page`."""
        if ahead is not None and (ahead.start, ahead.max_rows) == (start, max_rows) and not ahead.page.cancel():
            try:
                return ahead.page.result()
            except (CancelledError, Fault):
                # What went wrong is this call's own to find again.
                pass
        return result.page(start, max_rows, self._page_bytes)
