"""docs/operations.md: what is between its two marks is made here, from the service model and the table of differences.

After a change of either, or of the operations: `make docs`.
"""

from __future__ import annotations

from pathlib import Path

from support.conformance import MODELS, SERVICES, Item, items_of, missing, models_of, operation_names, otherwise
from support.conformance_differences import NOTES

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
BEGIN = "<!-- Made by `make docs` from the service model and tests/support/conformance_differences.py. -->\n"
END = "<!-- End of what is made. -->\n"


def remade(text: str) -> str:
    """The page with what is between its marks made anew."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + made() + END + rest.partition(END)[2]


def made() -> str:
    return "".join((*map(overview, SERVICES), "\n## Members and errors\n", *map(section, operation_names()), "\n"))


def overview(service: str) -> str:
    """The operations of one service; those that both have stand with the first."""
    names = [name for name in operation_names() if name in MODELS[service].operation_names]
    if service != next(iter(SERVICES)):
        names = [name for name in names if len(models_of(name)) == 1]
    return f"\n## {SERVICES[service]}\n\n| operation | here | notes |\n| --- | --- | --- |\n" + "".join(
        map(line, names)
    )


def line(operation: str) -> str:
    note = f"{NOTES[operation]} |" if operation in NOTES else "|"
    return f"| [{operation}](#{operation.lower()}) | yes | {note}\n"


def section(operation: str) -> str:
    rows = "".join(f"| {item.part} | `{item.path}` | {verdict(item)} |\n" for item in items_of(operation))
    return f"\n### {operation}\n\n| | name | here |\n| --- | --- | --- |\n{rows}"


def verdict(item: Item) -> str:
    """The why stands beside the path it is about, not again beside every member of that."""
    absent, different = missing(item), otherwise(item)
    row = absent or different
    if row is None:
        return "supported"
    word = "absent" if absent else "differs"
    is_said_above = row.path != item.path and not row.path.endswith("[]")
    return word if is_said_above else f"{word}: {row.why}"


if __name__ == "__main__":
    PAGE.write_text(remade(PAGE.read_text("utf-8")), "utf-8")
