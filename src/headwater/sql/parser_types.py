"""The grammar of types, as CAST names them: the second of four layers of the parser. Source: sql.md 6.3."""

from __future__ import annotations

from headwater.sql import tree
from headwater.sql.lexer import syntax_error
from headwater.sql.parser_tokens import NAMES, TokenReader


class TypeParser(TokenReader):
    __slots__ = ()

    def _type(self) -> tree.TypeName:
        self._enter()
        token = self._token
        line, column = token.line, token.column
        type_: tree.TypeName
        if token.word == "ARRAY" and self._next().word == "(":
            self._expect("ARRAY", "(")
            type_ = tree.ArrayType(line, column, self._type())
            self._expect(")")
        elif token.word == "MAP" and self._next().word == "(":
            self._expect("MAP", "(")
            key = self._type()
            self._expect(",")
            type_ = tree.MapType(line, column, key, self._type())
            self._expect(")")
        elif token.word == "ROW" and self._next().word == "(":
            self._expect("ROW", "(")
            type_ = tree.RowType(line, column, self._list(self._row_field))
            self._expect(")")
        else:
            type_ = self._scalar_type()
        self._leave()
        return type_

    def _row_field(self) -> tree.RowField:
        token = self._token
        named = self._next().kind in NAMES and not self._begins_long_type()
        name = self._name() if named else None
        return tree.RowField(token.line, token.column, name, self._type())

    def _begins_long_type(self) -> bool:
        word, following = self._token.word, self._next().word
        if word == "INTERVAL":
            return self._tokens[self._at + 2].word == "TO"
        return word == "DOUBLE" and following == "PRECISION"

    def _scalar_type(self) -> tree.ScalarType:
        token = self._token
        line, column = token.line, token.column
        if token.kind != "name":
            self._fail()
        name = self._advance().text.lower()
        if token.word == "DOUBLE":
            self._accept("PRECISION")
        if token.word == "INTERVAL":
            start = self._expect("DAY" if self._token.word == "DAY" else "YEAR")
            self._expect("TO", "SECOND" if start.word == "DAY" else "MONTH")
            return tree.ScalarType(
                line, column, f"interval {'day to second' if start.word == 'DAY' else 'year to month'}"
            )
        arguments: tuple[int, ...] = ()
        if self._accept("("):
            arguments = self._list(self._type_argument)
            self._expect(")")
        return tree.ScalarType(line, column, name, arguments)

    def _type_argument(self) -> int:
        if self._token.kind != "number":
            self._fail()
        number = self._number(2**31 - 1)
        if not isinstance(number, tree.IntegerLiteral):
            raise syntax_error(number.line, number.column)
        return number.value
