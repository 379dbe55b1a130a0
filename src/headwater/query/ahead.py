"""Reading ahead: the page that a client will ask for next is made while it reads the one that it has.

`run` begins one with each page that has a token. One thread makes them all: when it is behind, a call makes its page
itself and waits for nobody. Only the latest pages are kept.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass

from headwater.errors import Fault
from headwater.query.result import Page, Result

PAGES = 32
"""So many are kept, of a megabyte each: a client that is slower than so many others has its page made when it asks."""


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A page that begins at this row, for a client that asks for so many rows at most."""

    start: int
    max_rows: int
    page: Future[Page]


class ReadAhead:
    """The thread and its pages, by query. Any thread may call."""

    def __init__(self, page_bytes: int) -> None:
        self._page_bytes = page_bytes
        self._pool = ThreadPoolExecutor(1, "read-ahead")
        self._kept: OrderedDict[str, _Ahead] = OrderedDict()
        self._lock = threading.Lock()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self, query_id: str, result: Result, start: int, max_rows: int) -> None:
        """Does nothing once it is closed."""
        try:
            page = self._pool.submit(result.page, start, max_rows, self._page_bytes)
        except RuntimeError:
            return
        with self._lock:
            gone = [self._kept.pop(query_id, None)]
            self._kept[query_id] = _Ahead(start, max_rows, page)
            if len(self._kept) > PAGES:
                gone.append(self._kept.popitem(last=False)[1])
        for ahead in gone:
            if ahead is not None:
                ahead.page.cancel()

    def page(self, query_id: str, result: Result, start: int, max_rows: int) -> Page:
        """The page, made before or now. Raises as `Result.page`."""
        with self._lock:
            ahead = self._kept.pop(query_id, None)
        if ahead is not None and not ahead.page.cancel() and (ahead.start, ahead.max_rows) == (start, max_rows):
            try:
                return ahead.page.result()
            except (CancelledError, Fault):
                # What went wrong is this call's own to find again.
                pass
        return result.page(start, max_rows, self._page_bytes)
