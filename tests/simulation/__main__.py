"""Live through many seeds, in several processes: `make sim SEEDS=100000`, or one seed: `make sim SEED=17`.

Prints how far it is; a seed that breaks a promise is printed with its steps and the command that repeats it. The exit
status is 1 then.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

import structlog

from support.faulty_files import Stopped

from .history import live

TOLD_EVERY_S = 5.0
BATCH = 10


def main(words: list[str]) -> int:
    arguments = _parser().parse_args(words)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    if arguments.seed is not None:
        seeds = range(arguments.seed, arguments.seed + 1)
    started_s = told_s = time.monotonic()
    done = faults = failures = 0
    batches = [seeds[start : start + BATCH] for start in range(0, len(seeds), BATCH)]
    with ProcessPoolExecutor(min(arguments.processes, len(batches)), initializer=_silence) as pool:
        for count, came, told in pool.map(_live_all, batches):
            done, faults, failures = done + count, faults + came, failures + len(told)
            for failure in told:
                print(failure, flush=True)
            if time.monotonic() - told_s > TOLD_EVERY_S:
                told_s = time.monotonic()
                print(f"{done} of {len(seeds)} seeds, {failures} failed, {told_s - started_s:.0f} s", flush=True)
    took_s = time.monotonic() - started_s
    print(f"{done} seeds, {faults} faults of the disk, {failures} seeds failed, {took_s:.0f} s")
    return 1 if failures else 0


def _live_all(seeds: Iterable[int]) -> tuple[int, int, list[str]]:
    """How many seeds, how many faults came, and what is to be told of the seeds that failed."""
    count, faults, told = 0, 0, []
    for seed in seeds:
        count += 1
        try:
            faults += live(seed).faults
        except (Exception, Stopped):
            told.append(f"{traceback.format_exc()}\nrepeat with: make sim SEED={seed}\n")
    return count, faults, told


def _silence() -> None:
    structlog.configure(processors=[_drop])


def _drop(*_: object) -> dict[str, object]:
    raise structlog.DropEvent


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
