"""Golden files (`tests/**/*.slt`) as tests: one for each case and life. support/golden.py is their format.

`pytest tests/sql/bin.slt` runs one file, `-k flushed` one life, `-k bin:12` the case at line 12; `--rewrite` writes the
answers anew, for the reviewer to read in the diff.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from traceback import format_exception
from types import TracebackType

import pytest

from support.golden import MARKS, BadGolden, Case, Golden, Row, aligned, read_golden, with_answers
from support.golden_world import Answer, Life, World, is_right

_CASES = pytest.StashKey[Counter[str]]()


class Wrong(Exception):
    """The server answered something else."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("wrong answer")
        self.answer = answer


class GoldenFile(pytest.File):
    """A file. Its worlds are opened by the first case that needs them, and closed with the file."""

    def collect(self) -> Iterator[pytest.Item]:
        try:
            self.golden = read_golden(self.path)
        except BadGolden as error:
            raise self.CollectError(str(error)) from error
        self.worlds: dict[Life, World] = {}
        self.folders = ExitStack()
        self.rewritten: list[tuple[Case, str, list[Row]]] = []
        for case in self.golden.cases:
            kind = case.mark or "expected"
            self.config.stash.setdefault(_CASES, Counter())[kind] += 1
        for life in _lives(self.golden, rewrite=self.config.getoption("--rewrite")):
            for case in self.golden.cases:
                yield GoldenCase.from_parent(
                    self, name=f"{life.value}-{self.path.stem}:{case.line}", life=life, case=case
                )

    def world(self, life: Life) -> World:
        if life not in self.worlds:
            folder = self.folders.enter_context(TemporaryDirectory(prefix=f"{self.path.stem}-{life.value}-"))
            self.worlds[life] = World(self.golden, life, Path(folder))
        return self.worlds[life]

    def teardown(self) -> None:
        for world in self.worlds.values():
            world.close()
        self.worlds.clear()
        self.folders.close()
        if self.rewritten:
            self.path.write_text(with_answers(self.path, self.rewritten))


def _lives(golden: Golden, *, rewrite: bool) -> list[Life]:
    """Where nothing is stored, or only plans are asked for, or answers are made anew, one life says it all."""
    is_stored = golden.has_records and any(case.verb != "plan" for case in golden.cases)
    return list(Life) if is_stored and not rewrite else [Life.MEMORY]


class GoldenCase(pytest.Item):
    parent: GoldenFile

    def __init__(self, *, life: Life, case: Case, **how: object) -> None:
        super().__init__(**how)  # type: ignore[arg-type]
        self.life = life
        self.case = case
        if case.mark:
            # Only a wrong answer is what the mark speaks of; a right one is an error, since the mark is out of date.
            self.add_marker(pytest.mark.xfail(raises=Wrong, reason=f"{case.mark}: {case.reason}", strict=True))

    def runtest(self) -> None:
        answer = self.parent.world(self.life).answer(self.case)
        if is_right(self.case, answer):
            return
        if self.config.getoption("--rewrite") and not self.case.mark:
            self.parent.rewritten.append((self.case, answer.verb, answer.rows))
        else:
            raise Wrong(answer)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        text = [f"{self.path}:{self.case.line} ({self.life.value})", *_indented(self.case.text.splitlines())]
        text += [f"expected: {self.case.verb}", *_indented(aligned(self.case.answer))]
        if isinstance(excinfo.value, Wrong):
            answer = excinfo.value.answer
            return "\n".join([*text, f"actual: {answer.verb}", *_indented(aligned(answer.rows))])
        if isinstance(excinfo.value, BadGolden):
            return "\n".join([*text, f"actual: {excinfo.value}"])
        trace = "".join(format_exception(excinfo.value.with_traceback(_ours(excinfo.tb))))
        return "\n".join([*text, "actual: no answer at all", trace])

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.case.line - 1, self.name


def _ours(trace: TracebackType) -> TracebackType:
    """From the case on: how pytest came there is of no interest."""
    while trace.tb_next and Path(trace.tb_frame.f_code.co_filename) != Path(__file__):
        trace = trace.tb_next
    return trace


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write the answers of golden files (.slt) anew")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.File | None:
    return GoldenFile.from_parent(parent, path=file_path) if file_path.suffix == ".slt" else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counted = config.stash.get(_CASES, Counter())
    if counted:
        marks = ", ".join(f"{counted[mark]} {mark}" for mark in MARKS)
        terminalreporter.write_line(f"golden cases: {counted.total()}, of which {marks}")
