"""Where a parser stands in its tokens: stepping on, names, strings and numbers, and how deep it is nested.

The lowest of four layers (this, `parser_types`, `parser_expressions`, `parser`), split only for size; the grammar is
above.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn, TypeVar

from headwater.errors import Invalid
from headwater.sql import tree
from headwater.sql.budget import Budget
from headwater.sql.lexer import Token, syntax_error

NAMES = frozenset({"name", "quoted"})
STRINGS = frozenset({"string", "unicode"})

_LOOK_AHEAD_MAX = 3
_QUERY_GOES_ON = frozenset({"UNION", "INTERSECT", "EXCEPT", "ORDER"})
# What cannot begin an expression: before one of these, ALL is a name and not a quantifier.
_SYMBOLS_AFTER_OPERANDS = ", ) . ; [ :: = <> != < <= > >= || / %"
_WORDS_AFTER_OPERANDS = "AND OR IS IN LIKE BETWEEN AS FROM WHERE GROUP HAVING ORDER UNION INTERSECT EXCEPT"
_ENDS_AN_OPERAND = frozenset(_SYMBOLS_AFTER_OPERANDS.split() + _WORDS_AFTER_OPERANDS.split())
_UNICODE_ESCAPE = r"{0}(?:{0}|([0-9A-Fa-f]{{4}})|\+([0-9A-Fa-f]{{6}})|(.?))"

_FOREIGN: dict[str, tuple[str, frozenset[str]]] = {
    "AT": ("AT TIME ZONE", frozenset({"TIME"})),
    "FETCH": ("FETCH FIRST", frozenset({"FIRST", "NEXT"})),
    "MATCH_RECOGNIZE": ("MATCH_RECOGNIZE", frozenset({"("})),
    "NATURAL": ("NATURAL JOIN", frozenset({"JOIN", "INNER", "LEFT", "RIGHT", "FULL"})),
    "OFFSET": ("OFFSET", frozenset({"number"})),
    "RECURSIVE": ("WITH RECURSIVE", frozenset()),
    "TABLESAMPLE": ("TABLESAMPLE", frozenset({"BERNOULLI", "SYSTEM"})),
}
"""By the first word: what to call it, and the words, or kinds of tokens, one of which is the second; none if the first
is enough."""

T = TypeVar("T")


class TokenReader:
    """A place in the tokens of one statement. A method that reads something starts at its first token.

    Raises Invalid with the one text for syntax errors at a token that does not fit.
    """

    __slots__ = ("_at", "_budget", "_depth", "_depth_max", "_token", "_tokens")

    def __init__(self, tokens: list[Token], depth_max: int, budget: Budget) -> None:
        self._budget = budget
        # More ends: no rule steps past the first, but look-ahead may.
        self._tokens = [*tokens, *[tokens[-1]] * _LOOK_AHEAD_MAX]
        self._at = 0
        self._token = tokens[0]
        self._depth = 0
        self._depth_max = depth_max

    def _advance(self) -> Token:
        self._budget.check()
        token = self._token
        self._at += 1
        self._token = self._tokens[self._at]
        return token

    def _accept(self, word: str) -> bool:
        if self._token.word != word:
            return False
        self._advance()
        return True

    def _expect(self, *words: str) -> Token:
        """Step over the given words; the token of the first."""
        first = self._token
        for word in words:
            if self._token.word != word:
                self._fail()
            self._advance()
        return first

    def _next(self) -> Token:
        return self._tokens[self._at + 1]

    def _fail(self, construct: str = "") -> NoReturn:
        raise syntax_error(self._token.line, self._token.column, construct or self._foreign())

    def _foreign(self) -> str:
        """What begins here of SQL that the dialect has not; empty for anything else.

        Each is known by two words, which nothing of the dialect has side by side, or by one that is reserved and
        begins nothing. Source: sql.md 9.
        """
        construct, words = _FOREIGN.get(self._token.word, ("", frozenset()))
        following = self._next()
        return construct if not words or following.word in words or following.kind in words else ""

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > self._depth_max:
            line, column = self._token.line, self._token.column
            raise Invalid(f"line {line}:{column}: The query nests more than {self._depth_max} levels deep.")

    def _leave(self) -> None:
        self._depth -= 1

    def _list(self, item: Callable[[], T]) -> tuple[T, ...]:
        """One item or more, with commas between."""
        items = [item()]
        while self._token.word == ",":
            self._advance()
            items.append(item())
        return tuple(items)

    def _name(self) -> str:
        if self._token.kind not in NAMES:
            self._fail()
        return self._advance().text

    def _column_name(self) -> str:
        """A name, or `measure_value::` and a type, which is one name. No other use of `::` exists.

        Names are compared byte by byte, types are words in any case: so the name ends in the type's lower one.
        """
        token = self._token
        name = self._name()
        if self._token.word == "::" and token.text.lower() == "measure_value":
            self._advance()
            return f"{name}::{self._name().lower()}"
        return name

    def _identifier(self) -> tree.Identifier:
        token = self._token
        return tree.Identifier(token.line, token.column, self._column_name())

    def _names_in_parentheses(self) -> tuple[str, ...]:
        self._expect("(")
        names = self._list(self._name)
        self._expect(")")
        return names

    def _string(self) -> str:
        """A string literal, its escapes resolved."""
        token = self._token
        if token.kind not in STRINGS:
            self._fail()
        self._advance()
        return token.text if token.kind == "string" else self._unescaped(token)

    def _unescaped(self, token: Token) -> str:
        escape = "\\"
        if self._accept("UESCAPE"):
            escape = self._token.text
            if self._token.kind != "string" or len(escape) != 1 or re.match(r"[0-9A-Fa-f+'\"\s]", escape):
                self._fail()
            self._advance()

        def character(match: re.Match[str]) -> str:
            short, long, other = match.groups()
            if other is not None:
                raise syntax_error(token.line, token.column)
            if short is None and long is None:
                return escape
            code = int(short or long, 16)
            if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                raise syntax_error(token.line, token.column)
            return chr(code)

        return re.sub(_UNICODE_ESCAPE.format(re.escape(escape)), character, token.text, flags=re.DOTALL)

    def _number(self, integer_max: int) -> tree.IntegerLiteral | tree.DoubleLiteral:
        token = self._token
        text = token.text
        if not text.isdigit():
            self._advance()
            return tree.DoubleLiteral(token.line, token.column, float(text))
        digits = text.lstrip("0") or "0"
        # The length first: Python takes quadratic time for long integers.
        if len(digits) > 19 or int(digits) > integer_max:
            self._fail()
        self._advance()
        return tree.IntegerLiteral(token.line, token.column, int(digits))

    def _quantifier(self) -> bool:
        """Step over ALL or DISTINCT; whether it was DISTINCT. ALL may also be a name, which stays."""
        if self._accept("DISTINCT"):
            return True
        if self._token.word == "ALL":
            following = self._next()
            if following.kind != "end" and following.word not in _ENDS_AN_OPERAND:
                self._advance()
        return False

    def _begins_limit(self) -> bool:
        if self._token.word != "LIMIT":
            return False
        following = self._next()
        return following.kind == "number" or following.word == "ALL"

    def _begins_window_clause(self) -> bool:
        return self._token.word == "WINDOW" and self._next().kind in NAMES and self._tokens[self._at + 2].word == "AS"

    def _goes_on_as_query(self) -> bool:
        """Whether a query in parentheses, just read, is the first branch of a larger one."""
        return self._token.word in _QUERY_GOES_ON or self._begins_limit()
