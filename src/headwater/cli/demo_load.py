"""Loading a workload: a few processes with a stock boto3 client each, and the journal of what was acknowledged.

boto3 spends more time on a request than the server does, so one process would measure the client. The journal is
kept in the demo's own process: the server that is killed has no part in it.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from typing import Any

from headwater.cli.demo_client import REFUSED, UNANSWERED, write_client
from headwater.cli.demo_data import DATABASE, Workload
from headwater.errors import Unavailable

LOADERS = 3
ANSWER_TIMEOUT_S = 60.0
RETRY_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one try of one request: acknowledged with a count of records, or left without an answer."""

    loader: int
    number: int
    records: int | None
    fault: str = ""


@dataclass
class Journal:
    """The requests that were acknowledged, in the order in which that was heard; the records of each series."""

    requests: list[int] = field(default_factory=list)
    records_of: Counter[str] = field(default_factory=Counter)
    retries: int = 0

    @property
    def records(self) -> int:
        return self.records_of.total()

    def copy(self) -> Journal:
        return Journal(list(self.requests), self.records_of.copy(), self.retries)


class Loaders:
    """Processes that send a workload's requests, each its share. `with` starts them and ends them, whatever happens."""

    def __init__(self, workload: Workload, endpoint: str, region: str) -> None:
        # Processes that are forked would inherit threads' locks: the progress bar has a thread.
        context = multiprocessing.get_context("spawn")
        self._workload = workload
        self._may_send = context.Event()
        self._outcomes: multiprocessing.Queue[Outcome] = context.Queue()
        self._processes = [
            context.Process(
                target=_load, args=(loader, workload, endpoint, region, self._may_send, self._outcomes), daemon=True
            )
            for loader in range(LOADERS)
        ]
        self._left = [len(share(workload, loader)) for loader in range(LOADERS)]
        self.journal = Journal()

    def __enter__(self) -> Loaders:
        self._may_send.set()
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
            process.join()

    def acknowledged(self) -> Iterator[int]:
        """The count of records of each request as it is acknowledged, until all are. Raises Unavailable."""
        while len(self.journal.requests) < self._workload.requests:
            outcome = self._next()
            if outcome.records is not None:
                yield outcome.records

    def pause(self) -> None:
        """Return when every loader has found the server gone, or is done: the journal then holds all that was heard.

        Call it after the server was killed.
        """
        self._may_send.clear()
        unanswered: set[int] = set()
        while any(left and loader not in unanswered for loader, left in enumerate(self._left)):
            outcome = self._next()
            if outcome.records is None:
                unanswered.add(outcome.loader)

    def resume(self) -> None:
        """Let the loaders go on, each with the request that was not answered."""
        self._may_send.set()

    def _next(self) -> Outcome:
        try:
            outcome = self._outcomes.get(timeout=ANSWER_TIMEOUT_S)
        except queue.Empty as error:
            raise Unavailable(f"No request was answered for {ANSWER_TIMEOUT_S:g} s.") from error
        if outcome.fault:
            raise Unavailable(f"Request {outcome.number} of {self._workload.table} was refused: {outcome.fault}")
        if outcome.records is None:
            self.journal.retries += 1
        else:
            self._left[outcome.loader] -= 1
            self.journal.requests.append(outcome.number)
            self.journal.records_of[self._workload.request(outcome.number).series] += outcome.records
        return outcome


def share(workload: Workload, loader: int) -> range:
    """The requests that one loader sends."""
    return range(loader, workload.requests, LOADERS)


def _load(
    loader: int,
    workload: Workload,
    endpoint: str,
    region: str,
    may_send: Event,
    outcomes: multiprocessing.Queue[Outcome],
) -> None:
    """One loader process: its share of the requests, each until it is acknowledged."""
    # Ctrl-C is the demo's to handle; it ends its loaders.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    client = write_client(endpoint, region)
    for number in share(workload, loader):
        request = workload.request(number)
        outcome = Outcome(loader, number, None)
        while outcome.records is None and not outcome.fault:
            may_send.wait()
            outcome = _try(client, workload, loader, number, request.common, request.records)
            outcomes.put(outcome)
            if outcome.records is None:
                time.sleep(RETRY_PAUSE_S)


def _try(
    client: Any,
    workload: Workload,
    loader: int,
    number: int,
    common: dict[str, Any],
    records: list[dict[str, Any]],
) -> Outcome:
    try:
        answer = client.write_records(
            DatabaseName=DATABASE, TableName=workload.table, CommonAttributes=common, Records=records
        )
    except REFUSED as error:
        return Outcome(loader, number, None, fault=str(error))
    except UNANSWERED:
        # No connection, or one that was cut: whether the records are stored is not known, so they are sent again.
        return Outcome(loader, number, None)
    return Outcome(loader, number, answer["RecordsIngested"]["Total"])
