"""docs/sql.md: the signatures of its functions are made here from the registry; its examples are found here.

A function's row is "| `name` | what it gives | example |" under the heading where it belongs; `make docs` puts its
signatures in the first cell. All else is written by hand, and tests/docs/test_sql_page.py runs every example.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from headwater.sql.functions import REGISTRY
from headwater.sql.signature import Signature

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"

BEGIN = "<!-- Signatures, in the first column, are made by `make docs`"
END = "<!-- End of the signatures. -->"

ROW = re.compile(r"^\| `(\w+)[`( ][^|\n]*(?=\|)", re.MULTILINE)
"""The first cell of a row about a function, up to the bar behind it."""

WRITTEN = {
    "count([T])": "count(* or T)",
    "position(varchar, varchar)": "position(varchar IN varchar)",
    **{f"{name}()": name for name in ("current_timestamp", "current_date", "current_time")},
    **{f"{name}()": name for name in ("localtimestamp", "localtime")},
}
"""Calls that the grammar writes otherwise than the registry does."""

NUMBERS = ["integer", "bigint", "double"]


def remade(text: str) -> str:
    """The page with all signatures made anew. Rows of what the registry does not have, as CAST, stay as they are."""
    before, between, after = _parts(text)
    made = ROW.sub(lambda row: f"| {signatures(row[1])} " if row[1] in REGISTRY.by_name else row[0], between)
    return before + made + after


def rows(text: str) -> list[str]:
    """The functions of the registry that have a row, in the page's order."""
    return [name for name in ROW.findall(_parts(text)[1]) if name in REGISTRY.by_name]


def _parts(text: str) -> tuple[str, str, str]:
    """What is before the functions, the functions, and what is after them."""
    start, end = text.index(BEGIN), text.index(END)
    return text[:start], text[start:end], text[end:]


# ------------------------------------------------------------------------------------------ signatures


@dataclass(frozen=True)
class Form:
    """One way to call a function: types of its arguments, those that may be left out last, and of its result."""

    arguments: tuple[str, ...]
    gives: str
    optional: int = 0

    @property
    def types(self) -> tuple[str, ...]:
        return (*self.arguments, self.gives)


def signatures(name: str) -> str:
    """All ways to call a function, as few as say it."""
    forms = [_form(signature) for signature in REGISTRY.by_name[name]]
    for merge in (_of_numbers, _of_either, _with_optional):
        forms = merge(forms)
    return "<br>".join(f"`{_call(name, form)}` → `{form.gives}`" for form in forms)


def _form(signature: Signature) -> Form:
    inside = signature.shown.partition("(")[2].removesuffix(")")
    return Form(tuple(_split(inside)), signature.gives)


def _split(text: str) -> Iterator[str]:
    """The parts between commas that no parenthesis encloses."""
    depth, start = 0, 0
    for place, character in enumerate(f"{text},"):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            if text[start:place].strip():
                yield text[start:place].strip()
            start = place + 1


def _call(name: str, form: Form) -> str:
    needed = len(form.arguments) - form.optional
    text = ", ".join(form.arguments[:needed])
    for place, more in enumerate(form.arguments[needed:]):
        text += f"[{', ' if needed or place else ''}{more}"
    call = f"{name}({text}{']' * form.optional})"
    return WRITTEN.get(call, call)


def _of_numbers(forms: list[Form]) -> list[Form]:
    """Three forms that differ only in integer, bigint and double are one, of `number`."""
    for first in forms:
        places = range(len(first.types))
        for changed in (
            {place for place in places if NUMBERS[0] in first.types[place]} - kept
            for kept in (set(), {len(first.arguments)}, {1})
        ):
            trio = [_replaced(first, changed, kind) for kind in NUMBERS]
            if changed and all(form in forms for form in trio):
                merged = _replaced(first, changed, "number")
                return _of_numbers([merged if form == first else form for form in forms if form not in trio[1:]])
    return forms


def _replaced(form: Form, places: set[int], kind: str) -> Form:
    types = [t.replace(NUMBERS[0], kind) if place in places else t for place, t in enumerate(form.types)]
    return Form(tuple(types[:-1]), types[-1], form.optional)


def _of_either(forms: list[Form]) -> list[Form]:
    """Forms that differ in one argument are one, with `or` between its types."""
    for at, first in enumerate(forms):
        for other in forms[at + 1 :]:
            place = _differing(first, other)
            if place is not None:
                either = f"{first.arguments[place]} or {other.arguments[place]}"
                arguments = (*first.arguments[:place], either, *first.arguments[place + 1 :])
                merged = Form(arguments, first.gives)
                return _of_either([merged if form == first else form for form in forms if form != other])
    return forms


def _differing(first: Form, other: Form) -> int | None:
    """The place of the only argument in which two forms differ."""
    if len(first.types) != len(other.types):
        return None
    places = [place for place, pair in enumerate(zip(first.types, other.types, strict=True)) if len(set(pair)) > 1]
    is_one = len(places) == 1 and places[0] < len(first.arguments)
    return places[0] if is_one and "..." not in first.arguments[places[0]] else None


def _with_optional(forms: list[Form]) -> list[Form]:
    """A form with one argument more is the same one, with an argument that may be left out."""
    for first in forms:
        for other in forms:
            is_longer = len(other.arguments) == len(first.arguments) + 1
            if is_longer and other.gives == first.gives and other.arguments[:-1] == first.arguments:
                merged = Form(other.arguments, other.gives, first.optional + other.optional + 1)
                return _with_optional([merged if form == first else form for form in forms if form != other])
    return forms


# ------------------------------------------------------------------------------------------- examples


@dataclass(frozen=True)
class Example:
    """A statement of the page and what the page says of it: lines of a golden answer, one value, or a fault's text."""

    line: int
    expression: str
    statement: str
    block: str | None = None
    value: str | None = None
    fault: str | None = None


_SECTION = re.compile(r"^##+ .*\n", re.MULTILINE)
_FROM = re.compile(r"^Examples are over `(.+)`\.$", re.MULTILINE)
_BLOCK = re.compile(r"^```sql\n(.*?)```\n\n```text\n(.*?)```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)` (→|fails:) `([^`\n]+)`")
_SIGNATURE_CELL = re.compile(r"^\| `.*?(?= \|)", re.MULTILINE)
_STATEMENTS = ("SELECT ", "WITH ", "SHOW ", "DESCRIBE ")


def examples(text: str) -> list[Example]:
    """All examples of the page in its order. A section may say which rows its expressions are over."""
    found = []
    # What stands in a first cell is a signature, not an example.
    text = _SIGNATURE_CELL.sub(lambda cell: cell[0].replace("→", " "), text)
    starts = [0, *(heading.start() for heading in _SECTION.finditer(text)), len(text)]
    for start, end in pairwise(starts):
        over = _FROM.search(text, start, end)
        for match in _BLOCK.finditer(text, start, end):
            found.append(Example(_line(text, match), match[1], match[1], block=match[2]))
        for match in _INLINE.finditer(text, start, end):
            found.append(_inline(match, _line(text, match), over[1] if over else ""))
    return sorted(found, key=lambda example: example.line)


def _inline(match: re.Match[str], line: int, over: str) -> Example:
    expression, said = match[1].replace("\\|", "|"), match[3]
    whole = expression.startswith(_STATEMENTS)
    statement = expression if whole else f"SELECT {expression}{f' FROM {over}' if over else ''}"
    if match[2] == "→":
        return Example(line, expression, statement, value=said)
    return Example(line, expression, statement, fault=said)


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1


if __name__ == "__main__":
    PAGE.write_text(remade(PAGE.read_text("utf-8")), "utf-8")
