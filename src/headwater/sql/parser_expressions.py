"""The grammar of expressions and windows: the third of four layers of the parser, loosest binding first.

Precedence, tightest first: fields and subscripts; signs; `* / %`; `+ -`; `||`; comparisons and predicates, of which
an operand takes one only; NOT; AND; OR. A chain of operators is read in a loop, so that only brackets, CASE and
queries nest calls. Source: sql.md 1.1, 5, 6.10, 6.11 and 7.7.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, cast

from headwater.sql import tree
from headwater.sql.lexer import Token
from headwater.sql.parser_tokens import NAMES, STRINGS
from headwater.sql.parser_types import TypeParser

QUERY_STARTS = frozenset({"SELECT", "VALUES", "WITH"})

_COMPARISONS = frozenset({"=", "<>", "!=", "<", "<=", ">", ">="})
_PREDICATE_WORDS = frozenset({"NOT", "IS", "IN", "BETWEEN", "LIKE"})
_QUANTIFIERS = frozenset({"ALL", "ANY", "SOME"})
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2}
_SIGNS = frozenset({"-", "+"})
_POSTFIXES = frozenset({".", "["})
_AFTER_CALLS = frozenset({"FILTER", "IGNORE", "RESPECT", "OVER"})
_CALLS_WITHOUT_PARENTHESES = frozenset(
    {"CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "CURRENT_USER", "LOCALTIME", "LOCALTIMESTAMP"}
)
_INTERVAL_UNITS = frozenset({"SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "YEAR"})
_WINDOW_WORDS = frozenset({"PARTITION", "ROWS", "RANGE", "GROUPS"})
_FRAME_UNITS = frozenset({"ROWS", "RANGE"})


class ExpressionParser(TypeParser, ABC):
    """A method per rule. What an expression holds of queries comes from the layer above."""

    __slots__ = ()

    @abstractmethod
    def _query(self, first: tree.Query | None = None) -> tree.Query:
        """A query, or the rest of one whose first branch, in parentheses, is already read."""

    @abstractmethod
    def _query_in_parentheses(self) -> tree.Query: ...

    def _expression(self) -> tree.Expression:
        self._enter()
        start = term_start = self._token
        terms = [self._condition()]
        alternatives: list[tree.Expression] = []
        while self._token.word in {"AND", "OR"}:
            if self._advance().word == "AND":
                terms.append(self._condition())
            else:
                alternatives.append(_chain("AND", terms, term_start))
                term_start = self._token
                terms = [self._condition()]
        alternatives.append(_chain("AND", terms, term_start))
        self._leave()
        return _chain("OR", alternatives, start)

    def _condition(self) -> tree.Expression:
        nots: list[Token] = []
        while self._token.word == "NOT":
            nots.append(self._advance())
        condition = self._value()
        word = self._token.word
        if word in _COMPARISONS:
            condition = self._comparison(condition)
        elif word in _PREDICATE_WORDS:
            condition = self._predicate(condition)
        for token in reversed(nots):
            condition = tree.Not(token.line, token.column, condition)
        return condition

    def _comparison(self, left: tree.Expression) -> tree.Expression:
        token = self._advance()
        operator = cast(tree.ComparisonOperator, "<>" if token.word == "!=" else token.word)
        quantifier = self._token.word
        if quantifier in _QUANTIFIERS and self._next().word == "(" and self._begins_query(self._at + 2):
            self._advance()
            all_or_any: Literal["ALL", "ANY"] = "ALL" if quantifier == "ALL" else "ANY"
            query = self._query_in_parentheses()
            return tree.Quantified(token.line, token.column, operator, all_or_any, left, query)
        return tree.Comparison(token.line, token.column, operator, left, self._value())

    def _begins_query(self, at: int) -> bool:
        token = self._tokens[at]
        return token.word in QUERY_STARTS or token.word == "("

    def _predicate(self, value: tree.Expression) -> tree.Expression:
        token = self._token
        if token.word == "IS":
            return self._is(value)
        negated = self._accept("NOT")
        word = self._token.word
        predicate: tree.Expression
        if word == "IN":
            predicate = self._in(value, token)
        elif word == "BETWEEN":
            self._advance()
            low = self._value()
            self._expect("AND")
            predicate = tree.Between(token.line, token.column, value, low, self._value())
        else:
            self._expect("LIKE")
            pattern = self._value()
            escape = self._value() if self._accept("ESCAPE") else None
            predicate = tree.Like(token.line, token.column, value, pattern, escape)
        return tree.Not(token.line, token.column, predicate) if negated else predicate

    def _is(self, value: tree.Expression) -> tree.Expression:
        token = self._expect("IS")
        negated = self._accept("NOT")
        predicate: tree.Expression
        if self._accept("NULL"):
            predicate = tree.IsNull(token.line, token.column, value)
        else:
            self._expect("DISTINCT", "FROM")
            predicate = tree.Comparison(token.line, token.column, "IS DISTINCT FROM", value, self._value())
        return tree.Not(token.line, token.column, predicate) if negated else predicate

    def _in(self, value: tree.Expression, start: Token) -> tree.Expression:
        self._expect("IN", "(")
        if self._token.word in QUERY_STARTS:
            query = self._query()
            self._expect(")")
            return tree.InQuery(start.line, start.column, value, query)
        items = self._list(self._expression)
        if isinstance(items[0], tree.ScalarSubquery) and len(items) == 1 and self._goes_on_as_query():
            query = self._query(items[0].query)
            self._expect(")")
            return tree.InQuery(start.line, start.column, value, query)
        self._expect(")")
        return tree.InList(start.line, start.column, value, items)

    def _value(self) -> tree.Expression:
        first = self._operand()
        if self._token.word == "||" or self._token.word in _PRECEDENCE:
            return self._operators(first)
        return first

    def _nested_value(self) -> tree.Expression:
        """A value within brackets that are not themselves part of an expression."""
        self._enter()
        value = self._value()
        self._leave()
        return value

    def _operators(self, first: tree.Expression) -> tree.Expression:
        """The arithmetic and `||` after a first operand. Two stacks, so that a long chain needs no deep recursion."""
        operands = [first]
        operators: list[Token] = []
        pieces: list[tree.Expression] = []
        position = None
        while True:
            token = self._token
            precedence = _PRECEDENCE.get(token.word, 0)
            while operators and _PRECEDENCE[operators[-1].word] >= precedence:
                right = operands.pop()
                operands.append(_arithmetic(operators.pop(), operands.pop(), right))
            if token.word == "||":
                position = position or token
                pieces.append(operands.pop())
            elif precedence:
                operators.append(token)
            else:
                break
            self._advance()
            operands.append(self._operand())
        if position is None:
            return operands[0]
        return tree.Concatenation(position.line, position.column, (*pieces, operands[0]))

    def _operand(self) -> tree.Expression:
        """A primary with its signs, subscripts and fields."""
        start = self._token
        kind = start.kind
        if kind == "name":
            operand = self._named()
        elif kind == "quoted":
            operand = self._call() if self._next().word == "(" else self._identifier()
        elif start.word == "(":
            operand = self._parentheses()
        elif kind == "number":
            operand = self._number(2**63 - 1)
        elif start.word in _SIGNS:
            return self._signed()
        else:
            operand = self._other_literal()
        while self._token.word in _POSTFIXES:
            if self._advance().word == ".":
                operand = tree.Dereference(start.line, start.column, operand, self._column_name())
            else:
                operand = tree.Subscript(start.line, start.column, operand, self._expression())
                self._expect("]")
        return operand

    def _signed(self) -> tree.Expression:
        signs: list[Token] = []
        while self._token.word in _SIGNS:
            signs.append(self._advance())
        if self._token.kind == "number" and signs[-1].word == "-":
            # The least bigint has no positive twin: the sign belongs to the digits.
            operand: tree.Expression = self._number(2**63)
            if isinstance(operand, tree.IntegerLiteral):
                sign = signs.pop()
                operand = tree.IntegerLiteral(sign.line, sign.column, -operand.value)
        else:
            operand = self._operand()
        for sign in reversed(signs):
            operand = tree.Unary(sign.line, sign.column, cast("Literal['-', '+']", sign.word), operand)
        return operand

    def _parentheses(self) -> tree.Expression:
        """An expression, a row or a query."""
        start = self._expect("(")
        if self._token.word in QUERY_STARTS:
            query = self._query()
            self._expect(")")
            return tree.ScalarSubquery(start.line, start.column, query)
        first = self._expression()
        if isinstance(first, tree.ScalarSubquery) and self._goes_on_as_query():
            query = self._query(first.query)
            self._expect(")")
            return tree.ScalarSubquery(start.line, start.column, query)
        items = [first]
        while self._accept(","):
            items.append(self._expression())
        self._expect(")")
        return first if len(items) == 1 else tree.RowConstructor(start.line, start.column, tuple(items))

    # Literals and calls

    def _other_literal(self) -> tree.Expression:
        """Strings, short intervals, parameters, and what begins with a reserved word."""
        token = self._token
        line, column = token.line, token.column
        if token.kind in STRINGS:
            return tree.StringLiteral(line, column, self._string())
        if token.kind == "short_interval":
            self._advance()
            return tree.ShortIntervalLiteral(line, column, token.text, cast(tree.ShortUnit, token.word))
        if token.kind == "parameter":
            self._advance()
            return tree.Parameter(line, column, token.text)
        word = token.word
        if word in {"TRUE", "FALSE"}:
            self._advance()
            return tree.BooleanLiteral(line, column, word == "TRUE")
        if word == "NULL":
            self._advance()
            return tree.NullLiteral(line, column)
        if word == "CASE":
            return self._case()
        if word == "CAST":
            return self._cast(safe=False)
        if word == "EXTRACT":
            return self._extract()
        if word == "NORMALIZE":
            return self._normalize()
        if word == "EXISTS":
            self._advance()
            return tree.Exists(line, column, self._query_in_parentheses())
        if word == "GROUPING":
            return self._call()
        if word not in _CALLS_WITHOUT_PARENTHESES:
            self._fail()
        self._advance()
        return tree.FunctionCall(line, column, word.lower())

    def _named(self) -> tree.Expression:
        """What begins with a word that is not reserved: a name, unless the next token says otherwise."""
        token = self._token
        following = self._next()
        if following.word == "(":
            if token.word == "ROW":
                return self._row()
            if token.word == "TRY_CAST":
                return self._cast(safe=True)
            if token.word == "POSITION":
                return self._position()
            return self._call()
        if token.word == "ARRAY" and following.word == "[":
            return self._array()
        if token.word == "INTERVAL" and self._begins_interval():
            return self._interval()
        if following.kind in STRINGS:
            self._advance()
            return tree.TypedLiteral(token.line, token.column, token.word.lower(), self._string())
        if token.word == "DOUBLE" and following.word == "PRECISION" and self._tokens[self._at + 2].kind in STRINGS:
            self._expect("DOUBLE", "PRECISION")
            return tree.TypedLiteral(token.line, token.column, "double", self._string())
        return self._identifier()

    def _begins_interval(self) -> bool:
        """Whether the word `interval` here is a literal's: `interval - '1'` alone would be a subtraction."""
        following = self._next()
        if following.word not in _SIGNS:
            return following.kind in STRINGS
        return self._tokens[self._at + 2].kind in STRINGS and self._tokens[self._at + 3].word in _INTERVAL_UNITS

    def _interval(self) -> tree.IntervalLiteral:
        token = self._expect("INTERVAL")
        negative = self._accept("-")
        if not negative:
            self._accept("+")
        text = self._string()
        start = self._interval_unit()
        end = self._interval_unit() if self._accept("TO") else None
        return tree.IntervalLiteral(token.line, token.column, negative, text, start, end)

    def _interval_unit(self) -> tree.IntervalUnit:
        if self._token.word not in _INTERVAL_UNITS:
            self._fail()
        return cast(tree.IntervalUnit, self._advance().word.lower())

    def _array(self) -> tree.ArrayConstructor:
        token = self._expect("ARRAY", "[")
        elements = self._list(self._expression) if self._token.word != "]" else ()
        self._expect("]")
        return tree.ArrayConstructor(token.line, token.column, elements)

    def _row(self) -> tree.RowConstructor:
        token = self._expect("ROW", "(")
        elements = self._list(self._expression)
        self._expect(")")
        return tree.RowConstructor(token.line, token.column, elements)

    def _position(self) -> tree.FunctionCall:
        token = self._expect("POSITION", "(")
        needle = self._nested_value()
        self._expect("IN")
        text = self._nested_value()
        self._expect(")")
        return tree.FunctionCall(token.line, token.column, "position", (needle, text))

    def _extract(self) -> tree.Extract:
        token = self._expect("EXTRACT", "(")
        field = self._name().lower()
        self._expect("FROM")
        value = self._nested_value()
        self._expect(")")
        return tree.Extract(token.line, token.column, field, value)

    def _normalize(self) -> tree.FunctionCall:
        """The form is a bare word."""
        token = self._expect("NORMALIZE", "(")
        arguments = [self._nested_value()]
        if self._accept(","):
            form = self._token
            arguments.append(tree.StringLiteral(form.line, form.column, self._name().upper()))
        self._expect(")")
        return tree.FunctionCall(token.line, token.column, "normalize", tuple(arguments))

    def _case(self) -> tree.Case:
        token = self._expect("CASE")
        operand = self._expression() if self._token.word != "WHEN" else None
        whens = [self._when()]
        while self._token.word == "WHEN":
            whens.append(self._when())
        default = self._expression() if self._accept("ELSE") else None
        self._expect("END")
        return tree.Case(token.line, token.column, operand, tuple(whens), default)

    def _when(self) -> tree.When:
        token = self._expect("WHEN")
        condition = self._expression()
        self._expect("THEN")
        return tree.When(token.line, token.column, condition, self._expression())

    def _cast(self, *, safe: bool) -> tree.Cast:
        token = self._advance()
        self._expect("(")
        value = self._expression()
        self._expect("AS")
        type_ = self._type()
        self._expect(")")
        return tree.Cast(token.line, token.column, value, type_, safe)

    def _call(self) -> tree.FunctionCall:
        token = self._advance()
        self._expect("(")
        distinct = False
        arguments: list[tree.Expression | tree.Lambda] = []
        order_by: tuple[tree.SortItem, ...] = ()
        star = self._token.word == "*" and self._next().word == ")"
        if star:
            self._advance()
        elif self._token.word != ")":
            distinct = self._quantifier()
            arguments.append(self._lambda() if self._begins_lambda() else self._expression())
            while self._accept(","):
                arguments.append(self._lambda() if self._begins_lambda() else self._expression())
            if token.word == "SUBSTRING" and len(arguments) == 1 and self._accept("FROM"):
                arguments.append(self._expression())
                arguments += (self._expression(),) if self._accept("FOR") else ()
            if self._token.word == "ORDER":
                order_by = self._sort_items()
        self._expect(")")
        if self._token.word == "WITHIN" and self._next().word == "GROUP" and not order_by:
            self._expect("WITHIN", "GROUP", "(")
            order_by = self._sort_items()
            self._expect(")")
        name = token.text.lower()
        line, column = token.line, token.column
        if self._token.word not in _AFTER_CALLS:
            return tree.FunctionCall(line, column, name, tuple(arguments), star, distinct, order_by)
        filter_, nulls, over = self._filter(), self._null_treatment(), self._over()
        return tree.FunctionCall(line, column, name, tuple(arguments), star, distinct, order_by, filter_, nulls, over)

    def _filter(self) -> tree.Expression | None:
        if self._token.word != "FILTER" or self._next().word != "(":
            return None
        self._expect("FILTER", "(", "WHERE")
        condition = self._expression()
        self._expect(")")
        return condition

    def _null_treatment(self) -> Literal["IGNORE", "RESPECT"] | None:
        word = self._token.word
        if word not in {"IGNORE", "RESPECT"} or self._next().word != "NULLS":
            return None
        self._expect(word, "NULLS")
        return cast(Literal["IGNORE", "RESPECT"], word)

    def _over(self) -> tree.Window | str | None:
        if self._token.word != "OVER":
            return None
        following = self._next()
        if following.word == "(":
            self._advance()
            return self._window()
        if following.kind not in NAMES:
            return None
        self._advance()
        return self._name()

    def _begins_lambda(self) -> bool:
        token = self._token
        if token.word != "(":
            return token.kind in NAMES and self._next().word == "->"
        at = self._at + 1
        while self._tokens[at].kind in NAMES and self._tokens[at + 1].word == ",":
            at += 2
        if self._tokens[at].kind in NAMES:
            at += 1
        return self._tokens[at].word == ")" and self._tokens[at + 1].word == "->"

    def _lambda(self) -> tree.Lambda:
        token = self._token
        names: tuple[str, ...] = ()
        if token.word != "(":
            names = (self._name(),)
        elif self._next().word == ")":
            self._expect("(", ")")
        else:
            names = self._names_in_parentheses()
        self._expect("->")
        return tree.Lambda(token.line, token.column, names, self._expression())

    # Sorting and windows

    def _sort_items(self) -> tuple[tree.SortItem, ...]:
        self._expect("ORDER", "BY")
        self._enter()
        items = self._list(self._sort_item)
        self._leave()
        return items

    def _sort_item(self) -> tree.SortItem:
        token = self._token
        expression = self._expression()
        descending = self._accept("DESC")
        if not descending:
            self._accept("ASC")
        nulls_first = None
        if self._accept("NULLS"):
            nulls_first = self._accept("FIRST")
            if not nulls_first:
                self._expect("LAST")
        return tree.SortItem(token.line, token.column, expression, descending, nulls_first)

    def _named_window(self) -> tree.NamedWindow:
        token = self._token
        name = self._name()
        self._expect("AS")
        return tree.NamedWindow(token.line, token.column, name, self._window())

    def _window(self) -> tree.Window:
        start = self._expect("(")
        self._enter()
        base = None
        if self._token.kind in NAMES and self._token.word not in _WINDOW_WORDS:
            base = self._name()
        partition_by: tuple[tree.Expression, ...] = ()
        if self._accept("PARTITION"):
            self._expect("BY")
            partition_by = self._list(self._expression)
        order_by = self._sort_items() if self._token.word == "ORDER" else ()
        frame = self._frame() if self._token.word != ")" else None
        self._leave()
        self._expect(")")
        return tree.Window(start.line, start.column, base, partition_by, order_by, frame)

    def _frame(self) -> tree.Frame:
        token = self._token
        if token.word not in _FRAME_UNITS:
            self._fail("a frame of GROUPS" if token.word == "GROUPS" else "")
        self._advance()
        unit = cast(Literal["ROWS", "RANGE"], token.word)
        if not self._accept("BETWEEN"):
            return tree.Frame(token.line, token.column, unit, self._frame_bound(), None)
        start = self._frame_bound()
        self._expect("AND")
        return tree.Frame(token.line, token.column, unit, start, self._frame_bound())

    def _frame_bound(self) -> tree.FrameBound:
        token = self._token
        line, column = token.line, token.column
        following = self._next().word
        if token.word == "CURRENT" and following == "ROW":
            self._expect("CURRENT", "ROW")
            return tree.FrameBound(line, column, "CURRENT ROW", None)
        if token.word == "UNBOUNDED" and following == "PRECEDING":
            self._expect("UNBOUNDED", "PRECEDING")
            return tree.FrameBound(line, column, "UNBOUNDED PRECEDING", None)
        if token.word == "UNBOUNDED" and following == "FOLLOWING":
            self._expect("UNBOUNDED", "FOLLOWING")
            return tree.FrameBound(line, column, "UNBOUNDED FOLLOWING", None)
        # Not a whole expression: its AND would be that of BETWEEN.
        offset = self._nested_value()
        if self._accept("PRECEDING"):
            return tree.FrameBound(line, column, "PRECEDING", offset)
        self._expect("FOLLOWING")
        return tree.FrameBound(line, column, "FOLLOWING", offset)


def _chain(operator: Literal["AND", "OR"], operands: list[tree.Expression], start: Token) -> tree.Expression:
    if len(operands) == 1:
        return operands[0]
    return tree.Logical(start.line, start.column, operator, tuple(operands))


def _arithmetic(operator: Token, left: tree.Expression, right: tree.Expression) -> tree.Arithmetic:
    symbol = cast(Literal["+", "-", "*", "/", "%"], operator.word)
    return tree.Arithmetic(operator.line, operator.column, symbol, left, right)
