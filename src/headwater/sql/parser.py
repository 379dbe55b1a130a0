"""Query text to tree. `compile` calls `parse`; nothing else does.

A recursive-descent parser over the tokens of `lexer`, in four layers: `parser_tokens` steps over them,
`parser_expressions` has the grammar of expressions, this file that of statements, queries and relations.

It decides what the text says, never whether it makes sense: names, types and functions are the binder's. A word that
is not reserved is a name unless what follows makes it something else, so `time`, `date`, `row`, `filter` and `limit`
can be columns. There is no backtracking: the look-ahead is a few tokens, or a plain list of names.

Depth: each expression, query, type and parenthesis of FROM inside another counts one level against
`Limits.sql_depth`, and a tree is at most HEIGHT_FACTOR times as high, chains of operators included. So neither this
nor a later walk over the tree can exhaust the stack.
Source: sql.md 4; what it leaves open is as in Trino's grammar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

from headwater.errors import Invalid
from headwater.model.limits import Limits
from headwater.sql import tree
from headwater.sql.budget import Budget
from headwater.sql.lexer import Token, lex, syntax_error
from headwater.sql.parser_expressions import QUERY_STARTS, ExpressionParser
from headwater.sql.parser_tokens import NAMES
from headwater.threads import pass_on

HEIGHT_FACTOR = 2

_FOREIGN_STATEMENTS = frozenset({
    "ALTER", "ANALYZE", "CALL", "COMMIT", "CREATE", "DEALLOCATE", "DELETE", "DROP", "EXECUTE", "EXPLAIN", "GRANT",
    "INSERT", "MERGE", "PREPARE", "REFRESH", "RESET", "REVOKE", "ROLLBACK", "SET", "START", "TABLE", "TRUNCATE",
    "UPDATE", "USE",
})  # fmt: skip
"""First words of statements that the dialect has not. Source: sql.md 4, 9."""

_JOIN_WORDS = frozenset({"JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS"})


def parse(text: str, limits: Limits, budget: Budget | None = None) -> tree.Statement:
    """The one statement of the text; a semicolon may end it.

    Raises Invalid: `The query syntax is invalid at line L:C` at the first token that fits nothing, or a text that names
    the limit which the query breaks.
    """
    tokens = lex(text, limits)
    statement = _Parser(tokens, limits.sql_depth, budget or Budget(limits.sql_compile_s)).statement()
    height_max = HEIGHT_FACTOR * limits.sql_depth
    # Every level of a tree has a token of its own, give or take the statement: a short text needs no look.
    if len(tokens) > height_max // 2:
        _check_height(statement, height_max)
    return statement


def _check_height(statement: tree.Node, height_max: int) -> None:
    rest = [(statement, 1)]
    while rest:
        node, depth = rest.pop()
        if depth > height_max:
            raise Invalid(
                f"line {node.line}:{node.column}: The query nests operators more than {height_max} levels deep."
            )
        pass_on()
        rest.extend((below, depth + 1) for below in node.children())


class _Parser(ExpressionParser):
    __slots__ = ()

    # Statements

    def statement(self) -> tree.Statement:
        rules: dict[str, Callable[[], tree.Statement]] = {
            "SHOW": self._show,
            "DESCRIBE": self._describe,
            "UNLOAD": self._unload,
        }
        if self._token.word in _FOREIGN_STATEMENTS:
            self._fail(self._token.word)
        statement = rules.get(self._token.word, self._selection)()
        self._accept(";")
        if self._token.kind != "end":
            self._fail()
        return statement

    def _show(self) -> tree.Statement:
        show = self._expect("SHOW")
        line, column = show.line, show.column
        if self._accept("DATABASES"):
            return tree.ShowDatabases(line, column, self._like_pattern())
        if self._accept("TABLES"):
            database = None
            if self._accept("FROM"):
                token = self._token
                database = tree.Identifier(token.line, token.column, self._name())
            return tree.ShowTables(line, column, database, self._like_pattern())
        self._expect("MEASURES", "FROM")
        return tree.ShowMeasures(line, column, self._table_address(), self._like_pattern())

    def _like_pattern(self) -> str | None:
        return self._string() if self._accept("LIKE") else None

    def _describe(self) -> tree.Describe:
        describe = self._expect("DESCRIBE")
        return tree.Describe(describe.line, describe.column, self._table_address())

    def _table_address(self) -> tree.Table:
        token = self._token
        database = self._name()
        self._expect(".")
        return tree.Table(token.line, token.column, database, self._name())

    def _unload(self) -> tree.Unload:
        unload = self._expect("UNLOAD")
        self._expect("(")
        query = self._selection()
        self._expect(")")
        self._expect("TO")
        token = self._token
        target = tree.StringLiteral(token.line, token.column, self._string())
        options: tuple[tree.UnloadOption, ...] = ()
        if self._accept("WITH"):
            self._expect("(")
            options = self._list(self._unload_option)
            self._expect(")")
        return tree.Unload(unload.line, unload.column, query, target, options)

    def _unload_option(self) -> tree.UnloadOption:
        token = self._token
        name = self._name().lower()
        self._expect("=")
        return tree.UnloadOption(token.line, token.column, name, self._expression())

    # Queries

    def _selection(self) -> tree.Query:
        """A query that is a statement: VALUES alone is none."""
        query = self._query()
        body: tree.QueryBody = query
        while isinstance(body, tree.Query):
            body = body.body
        if isinstance(body, tree.Values):
            raise syntax_error(body.line, body.column, "VALUES as a statement")
        return query

    def _query_in_parentheses(self) -> tree.Query:
        self._expect("(")
        query = self._query()
        self._expect(")")
        return query

    def _query(self, first: tree.Query | None = None) -> tree.Query:
        """A query, or the rest of one whose first branch, in parentheses, is already read."""
        self._enter()
        start = first or self._token
        tables: tuple[tree.CommonTable, ...] = ()
        if first is None and self._accept("WITH"):
            tables = self._list(self._common_table)
        body = self._body(first)
        order_by = self._sort_items() if self._token.word == "ORDER" else ()
        limit = self._limit() if self._token.word == "LIMIT" else None
        self._leave()
        if isinstance(body, tree.Query) and not (tables or order_by or limit is not None):
            return body
        return tree.Query(start.line, start.column, tables, body, order_by, limit)

    def _common_table(self) -> tree.CommonTable:
        token = self._token
        name = self._name()
        columns = self._names_in_parentheses() if self._token.word == "(" else ()
        self._expect("AS")
        return tree.CommonTable(token.line, token.column, name, columns, self._query_in_parentheses())

    def _limit(self) -> int | None:
        self._expect("LIMIT")
        if self._accept("ALL"):
            return None
        if self._token.kind != "number":
            self._fail()
        limit = self._number(2**63 - 1)
        if not isinstance(limit, tree.IntegerLiteral):
            raise syntax_error(limit.line, limit.column)
        return limit.value

    def _body(self, first: tree.Query | None) -> tree.QueryBody:
        return self._set_operation(("UNION", "EXCEPT"), self._intersection, self._intersection(first))

    def _intersection(self, first: tree.Query | None = None) -> tree.QueryBody:
        return self._set_operation(("INTERSECT",), self._branch, first or self._branch())

    def _set_operation(
        self, kinds: tuple[str, ...], branch: Callable[[], tree.QueryBody], left: tree.QueryBody
    ) -> tree.QueryBody:
        """Branches joined from the left; neighbours of one kind and quantifier become one node."""
        while self._token.word in kinds:
            word = self._token.word
            kind = cast(Literal["UNION", "INTERSECT", "EXCEPT"], word)
            branches = [left]
            distinct = self._set_quantifier(word)
            branches.append(branch())
            while self._token.word == word and (self._next().word != "ALL") == distinct:
                self._set_quantifier(word)
                branches.append(branch())
            left = tree.SetOperation(left.line, left.column, kind, distinct, tuple(branches))
        return left

    def _set_quantifier(self, word: str) -> bool:
        """Whether it is DISTINCT, which is also what it is without a quantifier."""
        self._expect(word)
        if self._accept("ALL"):
            return False
        self._accept("DISTINCT")
        return True

    def _branch(self) -> tree.QueryBody:
        word = self._token.word
        if word == "(":
            return self._query_in_parentheses()
        if word == "VALUES":
            values = self._advance()
            return tree.Values(values.line, values.column, self._list(self._expression))
        return self._select()

    def _select(self) -> tree.Select:
        start = self._expect("SELECT")
        distinct = self._quantifier()
        items = self._list(self._select_item)
        relations = self._list(self._relation) if self._accept("FROM") else ()
        where = self._expression() if self._accept("WHERE") else None
        group_by = self._group_by() if self._token.word == "GROUP" else None
        having = self._expression() if self._accept("HAVING") else None
        windows: tuple[tree.NamedWindow, ...] = ()
        if self._begins_window_clause():
            self._advance()
            windows = self._list(self._named_window)
        return tree.Select(start.line, start.column, distinct, items, relations, where, group_by, having, windows)

    def _select_item(self) -> tree.SelectItem | tree.AllColumns:
        token = self._token
        if token.word == "*":
            self._advance()
            return tree.AllColumns(token.line, token.column, ())
        if self._next().word == "." and (qualifier := self._qualifier_before_star()):
            return tree.AllColumns(token.line, token.column, qualifier)
        expression = self._expression()
        return tree.SelectItem(token.line, token.column, expression, self._alias())

    def _qualifier_before_star(self) -> tuple[str, ...]:
        """Step over `a.b.*`; nothing, and no step, if this is something else."""
        names: list[str] = []
        at = self._at
        while self._tokens[at].kind in NAMES and self._tokens[at + 1].word == ".":
            names.append(self._tokens[at].text)
            at += 2
        if not names or self._tokens[at].word != "*":
            return ()
        self._at = at
        self._advance()
        return tuple(names)

    def _alias(self) -> str | None:
        if self._accept("AS"):
            return self._name()
        if self._token.kind not in NAMES or self._begins_limit() or self._begins_window_clause():
            return None
        if self._foreign():
            self._fail()
        return self._advance().text

    def _group_by(self) -> tree.GroupBy:
        group = self._expect("GROUP", "BY")
        distinct = self._quantifier()
        return tree.GroupBy(group.line, group.column, distinct, self._list(self._grouping_element))

    def _grouping_element(self) -> tree.GroupingElement:
        token = self._token
        line, column = token.line, token.column
        if token.word == "GROUPING" and self._next().word == "SETS":
            self._expect("GROUPING", "SETS")
            return tree.GroupingElement(line, column, "SETS", self._grouping_sets())
        if self._accept("ROLLUP"):
            return tree.GroupingElement(line, column, "ROLLUP", self._grouping_sets())
        if self._accept("CUBE"):
            return tree.GroupingElement(line, column, "CUBE", self._grouping_sets())
        return tree.GroupingElement(line, column, "SIMPLE", (self._grouping_set(),))

    def _grouping_sets(self) -> tuple[tuple[tree.Expression, ...], ...]:
        self._expect("(")
        sets = self._list(self._grouping_set)
        self._expect(")")
        return sets

    def _grouping_set(self) -> tuple[tree.Expression, ...]:
        token = self._token
        if token.word == "(" and self._next().word == ")":
            self._expect("(", ")")
            return ()
        expression = self._expression()
        if isinstance(expression, tree.RowConstructor) and token.word == "(" and _is_at(expression, token):
            return expression.elements
        return (expression,)

    # Relations

    def _relation(self) -> tree.Relation:
        """A relation and the joins that follow it."""
        return self._joined(self._relation_with_alias())

    def _joined(self, left: tree.Relation) -> tree.Relation:
        while self._token.word in _JOIN_WORDS:
            line, column = left.line, left.column
            if self._accept("CROSS"):
                self._expect("JOIN")
                left = tree.Join(line, column, "CROSS", left, self._relation_with_alias(), None, ())
                continue
            kind = self._join_kind()
            # What is joined may itself be a join whose condition comes first: `a JOIN b JOIN c ON … ON …`.
            self._enter()
            right = self._relation()
            self._leave()
            if self._accept("USING"):
                self._expect("(")
                using = self._list(self._identifier)
                self._expect(")")
                left = tree.Join(line, column, kind, left, right, None, using)
            else:
                self._expect("ON")
                left = tree.Join(line, column, kind, left, right, self._expression(), ())
        return left

    def _join_kind(self) -> Literal["INNER", "LEFT", "RIGHT", "FULL"]:
        word = self._token.word
        if word in {"LEFT", "RIGHT", "FULL"}:
            self._advance()
            self._accept("OUTER")
            self._expect("JOIN")
            return cast(Literal["LEFT", "RIGHT", "FULL"], word)
        self._accept("INNER")
        self._expect("JOIN")
        return "INNER"

    def _relation_with_alias(self) -> tree.Relation:
        token = self._token
        if token.word == "(":
            return self._aliased(_as_relation(self._query_or_relation(), token))
        if token.word == "LATERAL" and self._next().word == "(":
            self._fail("LATERAL")
        return self._aliased(self._unnest() if token.word == "UNNEST" else self._table())

    def _aliased(self, relation: tree.Relation) -> tree.Relation:
        alias = self._alias()
        if alias is None:
            return relation
        columns = self._names_in_parentheses() if self._token.word == "(" else ()
        return tree.Aliased(relation.line, relation.column, relation, alias, columns)

    def _query_or_relation(self) -> tree.Query | tree.Relation:
        """What parentheses hold in FROM. After `((` only what follows the inner pair tells which it is."""
        self._expect("(")
        self._enter()
        inner: tree.Query | tree.Relation
        token = self._token
        if token.word in QUERY_STARTS:
            inner = self._query()
        elif token.word != "(":
            inner = self._relation()
        else:
            inner = self._query_or_relation()
            if isinstance(inner, tree.Query) and (self._token.word == ")" or self._goes_on_as_query()):
                inner = self._query(inner)
            else:
                inner = self._joined(self._aliased(_as_relation(inner, token)))
        self._leave()
        self._expect(")")
        return inner

    def _unnest(self) -> tree.Unnest:
        unnest = self._expect("UNNEST", "(")
        self._enter()
        arguments = self._list(self._expression)
        self._leave()
        self._expect(")")
        ordinality = self._token.word == "WITH"
        if ordinality:
            self._expect("WITH", "ORDINALITY")
        return tree.Unnest(unnest.line, unnest.column, arguments, ordinality)

    def _table(self) -> tree.Table:
        token = self._token
        name = self._name()
        if not self._accept("."):
            return tree.Table(token.line, token.column, None, name)
        table = tree.Table(token.line, token.column, name, self._name())
        if self._token.word == ".":
            self._fail("a table's name of three parts")
        return table


def _is_at(node: tree.Node, token: Token) -> bool:
    return node.line == token.line and node.column == token.column


def _as_relation(inner: tree.Query | tree.Relation, start: Token) -> tree.Relation:
    return tree.SubqueryRelation(start.line, start.column, inner) if isinstance(inner, tree.Query) else inner
