"""How long a query takes from text to plan, in milliseconds of processor time: compiled anew, and remembered.

The corpus is every query of tests/sql/*.slt and the worked examples that compiles. `anew` gives each text to a compiler
that has seen nothing; `again` gives it once more, two hours later, to one that has. `dashboard` is one query of a
dashboard, with other times and hosts each time.

Run: python -m benchmarks.compile [rounds]
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from headwater.errors import Invalid
from headwater.model.limits import Limits
from headwater.model.time import NS_PER_HOUR
from headwater.sql.compile import Compiler, Names

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "unit" / "sql")]

from sql_world import NOW, Catalog  # noqa: E402 - from the tests, whose folder is known only now

from support.golden_names import corpus  # noqa: E402

LIMITS = Limits()
DASHBOARD = (
    "SELECT bin(time, 1m) AS t, hostname, avg(measure_value::double) AS mean, max(measure_value::double) AS most"
    " FROM \"ops\".\"metrics\" WHERE measure_name = 'cpu_utilization' AND hostname IN ('web-{0:02d}', 'web-{1:02d}')"
    " AND time BETWEEN from_milliseconds({2}) AND from_milliseconds({3}) GROUP BY bin(time, 1m), hostname ORDER BY t"
)


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    texts = [(text, names) for text, names in _texts() if _compiles(text, names)]
    print(f"{len(texts)} queries, {rounds} rounds")
    anew: list[float] = []
    again: list[float] = []
    for text, names in texts:
        anew.append(min(_timed(Compiler(names, LIMITS), text, NOW) for _ in range(rounds)))
        compiler = Compiler(names, LIMITS)
        compiler.compile(text, NOW)
        again.append(min(_timed(compiler, text, NOW + 2 * NS_PER_HOUR + n * 1_000_000) for n in range(rounds)))
    show("anew", anew)
    show("again", again)
    print(f"again within 0.3 ms: {sum(ms <= 0.3 for ms in again)} of {len(again)}")
    compiler = Compiler(Catalog(), LIMITS)
    show("dashboard", [_timed(compiler, _dashboard(n), NOW + n) for n in range(1000)][1:])
    return 0


def _texts() -> list[tuple[str, Names]]:
    script = (TESTS / "unit" / "sql" / "worked_examples.sql").read_text()
    return [*((text, Catalog()) for text in re.split(r";$", script, flags=re.MULTILINE)[:-1]), *corpus()]


def _dashboard(n: int) -> str:
    start_ms = 1_709_942_400_000 + 60_000 * n
    return DASHBOARD.format(n % 50, n % 50 + 1, start_ms, start_ms + 3_600_000)


def _compiles(text: str, names: Names) -> bool:
    try:
        Compiler(names, LIMITS).compile(text, NOW)
    except Invalid:
        return False
    return True


def _timed(compiler: Compiler, text: str, now_ns: int) -> float:
    start = time.thread_time_ns()
    compiler.compile(text, now_ns)
    return (time.thread_time_ns() - start) / 1e6


def show(name: str, figures: Sequence[float]) -> None:
    shares = statistics.quantiles(figures, n=100)
    print(f"{name:10} p50 {shares[49]:.3f}  p90 {shares[89]:.3f}  p99 {shares[98]:.3f}  most {max(figures):.3f} ms")


if __name__ == "__main__":
    sys.exit(main())
