"""What is told of work in the background: one line for each job, to `headwater jobs`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobLine:
    """`kind` says what sort of work it is, `name` which one; `state` RUNNING, IDLE, or how it stands or ended.

    `progress_percent` is there where it is known, `began_ns` where there is one begin; `detail` is for people.
    """

    kind: str
    name: str
    state: str
    progress_percent: float | None = None
    began_ns: int | None = None
    detail: str = ""
