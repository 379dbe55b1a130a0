"""Tree back to text: a statement that `parser.parse` reads as an equal tree, positions aside.

For the test of the law parse(to_text(tree)) == tree. The text is one line. Names are always quoted, so that
no word of the grammar is mistaken for one, and parentheses stand only where the tree needs them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from headwater.sql import tree
from headwater.sql.lexer import RESERVED

# How tightly an expression binds; an operand that binds less than its place asks for stands in parentheses.
_OR, _AND, _NOT, _PREDICATE, _CONCATENATION, _SUM, _PRODUCT, _SIGN, _PRIMARY, _BASE = range(10)

_PLAIN_WORD = re.compile(r"[a-z_][a-z0-9_]*")
_CALLS_WITHOUT_PARENTHESES = frozenset(
    {"current_date", "current_time", "current_timestamp", "current_user", "localtime", "localtimestamp"}
)
# Bare before a parenthesis, these begin something other than a call.
_NOT_CALLS = frozenset({"row", "try_cast", "position", "all", "any", "some"})


def to_text(node: tree.Node) -> str:
    """The text of any node: a statement, or a part of one."""
    return _PRINTERS[type(node)](node)


def _at_least(binding: int, node: tree.Node) -> str:
    return to_text(node) if _binding(node) >= binding else f"({to_text(node)})"


def _binding(node: tree.Node) -> int:
    match node:
        case tree.Logical():
            return _OR if node.operator == "OR" else _AND
        case tree.Not():
            return _NOT
        case tree.Concatenation():
            return _CONCATENATION
        case tree.Arithmetic():
            return _SUM if node.operator in "+-" else _PRODUCT
        case tree.Unary():
            return _SIGN
        case tree.Comparison() | tree.Quantified() | tree.Between() | tree.InList() | tree.InQuery():
            return _PREDICATE
        case tree.Like() | tree.IsNull():
            return _PREDICATE
        case tree.IntegerLiteral():
            return _SIGN if node.value < 0 else _PRIMARY
        case (
            tree.Identifier() | tree.Dereference() | tree.Subscript() | tree.ArrayConstructor() | tree.ScalarSubquery()
        ):
            return _BASE
        case _:
            return _PRIMARY


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _string(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _commas(nodes: Iterable[tree.Node]) -> str:
    return ", ".join(map(to_text, nodes))


def _names(names: Iterable[str]) -> str:
    return f"({', '.join(map(_name, names))})"


def _words(*parts: str) -> str:
    """The parts that are not empty, a space between."""
    return " ".join(filter(None, parts))


# Statements


def _show_databases(node: tree.ShowDatabases) -> str:
    return _words("SHOW DATABASES", _like_pattern(node.like))


def _show_tables(node: tree.ShowTables) -> str:
    database = f"FROM {to_text(node.database)}" if node.database else ""
    return _words("SHOW TABLES", database, _like_pattern(node.like))


def _show_measures(node: tree.ShowMeasures) -> str:
    return _words("SHOW MEASURES FROM", to_text(node.table), _like_pattern(node.like))


def _like_pattern(pattern: str | None) -> str:
    return "" if pattern is None else f"LIKE {_string(pattern)}"


def _unload(node: tree.Unload) -> str:
    options = f"WITH ({_commas(node.options)})" if node.options else ""
    return _words(f"UNLOAD ({to_text(node.query)}) TO {to_text(node.target)}", options)


# Queries


def _query(node: tree.Query) -> str:
    return _words(
        f"WITH {_commas(node.with_tables)}" if node.with_tables else "",
        _branch(node.body),
        _order_by(node.order_by),
        "" if node.limit is None else f"LIMIT {node.limit}",
    )


def _branch(node: tree.QueryBody) -> str:
    return f"({to_text(node)})" if isinstance(node, tree.Query) else to_text(node)


def _set_operation(node: tree.SetOperation) -> str:
    return f" {node.kind}{'' if node.distinct else ' ALL'} ".join(map(_branch, node.branches))


def _common_table(node: tree.CommonTable) -> str:
    columns = _names(node.columns) if node.columns else ""
    return _words(_name(node.name), columns, f"AS ({to_text(node.query)})")


def _select(node: tree.Select) -> str:
    return _words(
        "SELECT",
        "DISTINCT" if node.distinct else "",
        _commas(node.items),
        f"FROM {_commas(node.from_items)}" if node.from_items else "",
        f"WHERE {to_text(node.where)}" if node.where else "",
        to_text(node.group_by) if node.group_by else "",
        f"HAVING {to_text(node.having)}" if node.having else "",
        f"WINDOW {_commas(node.windows)}" if node.windows else "",
    )


def _select_item(node: tree.SelectItem) -> str:
    return _words(to_text(node.expression), "" if node.alias is None else f"AS {_name(node.alias)}")


def _all_columns(node: tree.AllColumns) -> str:
    return "".join(f"{_name(name)}." for name in node.qualifier) + "*"


def _group_by(node: tree.GroupBy) -> str:
    return _words("GROUP BY", "DISTINCT" if node.distinct else "", _commas(node.elements))


def _grouping_element(node: tree.GroupingElement) -> str:
    sets = ", ".join(to_text(one[0]) if len(one) == 1 else f"({_commas(one)})" for one in node.sets)
    match node.kind:
        case "SIMPLE":
            return sets
        case "SETS":
            return f"GROUPING SETS ({sets})"
        case _:
            return f"{node.kind} ({sets})"


def _order_by(items: tuple[tree.SortItem, ...]) -> str:
    return f"ORDER BY {_commas(items)}" if items else ""


def _sort_item(node: tree.SortItem) -> str:
    nulls = {None: "", True: "NULLS FIRST", False: "NULLS LAST"}[node.nulls_first]
    return _words(to_text(node.expression), "DESC" if node.descending else "", nulls)


# Relations


def _table(node: tree.Table) -> str:
    return _name(node.name) if node.database is None else f"{_name(node.database)}.{_name(node.name)}"


def _unnest(node: tree.Unnest) -> str:
    return _words(f"UNNEST({_commas(node.arguments)})", "WITH ORDINALITY" if node.ordinality else "")


def _aliased(node: tree.Aliased) -> str:
    columns = _names(node.columns) if node.columns else ""
    relation = to_text(node.relation)
    if isinstance(node.relation, tree.Join | tree.Aliased):
        relation = f"({relation})"
    return _words(relation, "AS", _name(node.alias), columns)


def _join(node: tree.Join) -> str:
    right = f"({to_text(node.right)})" if isinstance(node.right, tree.Join) else to_text(node.right)
    condition = f"ON {to_text(node.on)}" if node.on else ""
    if node.using:
        condition = f"USING ({_commas(node.using)})"
    return _words(to_text(node.left), node.kind, "JOIN", right, condition)


# Windows


def _window(node: tree.Window) -> str:
    inner = _words(
        "" if node.base is None else _name(node.base),
        f"PARTITION BY {_commas(node.partition_by)}" if node.partition_by else "",
        _order_by(node.order_by),
        to_text(node.frame) if node.frame else "",
    )
    return f"({inner})"


def _frame(node: tree.Frame) -> str:
    if node.end is None:
        return f"{node.unit} {to_text(node.start)}"
    return f"{node.unit} BETWEEN {to_text(node.start)} AND {to_text(node.end)}"


def _frame_bound(node: tree.FrameBound) -> str:
    return _words("" if node.offset is None else _at_least(_CONCATENATION, node.offset), node.kind)


# Expressions


def _double(node: tree.DoubleLiteral) -> str:
    # Python writes infinity as a word, which would be a name.
    return "1e999" if node.value == float("inf") else repr(node.value)


def _interval(node: tree.IntervalLiteral) -> str:
    end = f"TO {node.end}" if node.end else ""
    return _words("INTERVAL", "-" if node.negative else "", _string(node.text), node.start, end)


def _unary(node: tree.Unary) -> str:
    if isinstance(node.operand, tree.Unary):
        # No parentheses, which would be a level each; but two minus signs together would begin a comment.
        return f"{node.operator} {to_text(node.operand)}"
    # A sign before digits would become part of them.
    is_bare = _binding(node.operand) >= _PRIMARY and not isinstance(node.operand, tree.IntegerLiteral)
    operand = to_text(node.operand)
    return f"{node.operator}{operand}" if is_bare else f"{node.operator}({operand})"


def _arithmetic(node: tree.Arithmetic) -> str:
    binding = _binding(node)
    return f"{_at_least(binding, node.left)} {node.operator} {_at_least(binding + 1, node.right)}"


def _concatenation(node: tree.Concatenation) -> str:
    return " || ".join(_at_least(_SUM, operand) for operand in node.operands)


def _operand(node: tree.Expression) -> str:
    """An operand of a predicate."""
    return _at_least(_CONCATENATION, node)


def _predicate(node: tree.Predicate) -> str:
    match node:
        case tree.Comparison():
            return f"{_operand(node.left)} {node.operator} {_operand(node.right)}"
        case tree.Quantified():
            return f"{_operand(node.value)} {node.operator} {node.quantifier} ({to_text(node.query)})"
        case tree.Between():
            return f"{_operand(node.value)} BETWEEN {_operand(node.low)} AND {_operand(node.high)}"
        case tree.InList():
            return f"{_operand(node.value)} IN ({_commas(node.items)})"
        case tree.InQuery():
            return f"{_operand(node.value)} IN ({to_text(node.query)})"
        case tree.Like():
            escape = "" if node.escape is None else f" ESCAPE {_operand(node.escape)}"
            return f"{_operand(node.value)} LIKE {_operand(node.pattern)}{escape}"
        case tree.IsNull():
            return f"{_operand(node.value)} IS NULL"
        case tree.Exists():
            return f"EXISTS ({to_text(node.query)})"


def _logical(node: tree.Logical) -> str:
    return f" {node.operator} ".join(_at_least(_binding(node) + 1, operand) for operand in node.operands)


def _case(node: tree.Case) -> str:
    operand = "" if node.operand is None else to_text(node.operand)
    whens = (f"WHEN {to_text(when.condition)} THEN {to_text(when.result)}" for when in node.whens)
    default = "" if node.default is None else f"ELSE {to_text(node.default)}"
    return _words("CASE", operand, *whens, default, "END")


def _cast(node: tree.Cast) -> str:
    return f"{'TRY_CAST' if node.safe else 'CAST'}({to_text(node.value)} AS {to_text(node.type)})"


def _call(node: tree.FunctionCall) -> str:
    if node == tree.FunctionCall(node.line, node.column, node.name) and node.name in _CALLS_WITHOUT_PARENTHESES:
        return node.name
    is_plain = _PLAIN_WORD.fullmatch(node.name) and node.name.upper() not in RESERVED and node.name not in _NOT_CALLS
    name = node.name if is_plain else _name(node.name)
    arguments = "*" if node.star else _commas(node.arguments)
    inner = _words("DISTINCT" if node.distinct else "", arguments, _order_by(node.order_by))
    over = node.over if node.over is None or isinstance(node.over, tree.Window) else _name(node.over)
    return _words(
        f"{name}({inner})",
        "" if node.filter is None else f"FILTER (WHERE {to_text(node.filter)})",
        "" if node.nulls is None else f"{node.nulls} NULLS",
        "" if over is None else f"OVER {over if isinstance(over, str) else to_text(over)}",
    )


# Types


def _scalar_type(node: tree.ScalarType) -> str:
    return node.name + (f"({', '.join(map(str, node.arguments))})" if node.arguments else "")


_PRINTERS: dict[type[tree.Node], Callable[[Any], str]] = {
    tree.NullLiteral: lambda _: "NULL",
    tree.BooleanLiteral: lambda node: "TRUE" if node.value else "FALSE",
    tree.IntegerLiteral: lambda node: str(node.value),
    tree.DoubleLiteral: _double,
    tree.StringLiteral: lambda node: _string(node.value),
    tree.TypedLiteral: lambda node: f"{node.type} {_string(node.text)}",
    tree.IntervalLiteral: _interval,
    tree.ShortIntervalLiteral: lambda node: f"{node.number}{node.unit}",
    tree.Parameter: lambda node: f"@{node.name}",
    tree.Identifier: lambda node: _name(node.name),
    tree.Dereference: lambda node: f"{_at_least(_BASE, node.base)}.{_name(node.name)}",
    tree.Subscript: lambda node: f"{_at_least(_BASE, node.base)}[{to_text(node.index)}]",
    tree.ArrayConstructor: lambda node: f"ARRAY[{_commas(node.elements)}]",
    tree.RowConstructor: lambda node: f"ROW({_commas(node.elements)})",
    tree.Unary: _unary,
    tree.Arithmetic: _arithmetic,
    tree.Concatenation: _concatenation,
    tree.Comparison: _predicate,
    tree.Quantified: _predicate,
    tree.Between: _predicate,
    tree.InList: _predicate,
    tree.InQuery: _predicate,
    tree.Like: _predicate,
    tree.IsNull: _predicate,
    tree.Exists: _predicate,
    tree.ScalarSubquery: lambda node: f"({to_text(node.query)})",
    tree.Not: lambda node: f"NOT {_at_least(_NOT, node.operand)}",
    tree.Logical: _logical,
    tree.Case: _case,
    tree.Cast: _cast,
    tree.Extract: lambda node: f"extract({_name(node.field)} FROM {_operand(node.value)})",
    tree.Lambda: lambda node: f"{_names(node.parameters)} -> {to_text(node.body)}",
    tree.FunctionCall: _call,
    tree.SortItem: _sort_item,
    tree.Frame: _frame,
    tree.FrameBound: _frame_bound,
    tree.Window: _window,
    tree.NamedWindow: lambda node: f"{_name(node.name)} AS {to_text(node.window)}",
    tree.ScalarType: _scalar_type,
    tree.ArrayType: lambda node: f"array({to_text(node.element)})",
    tree.MapType: lambda node: f"map({to_text(node.key)}, {to_text(node.value)})",
    tree.RowField: lambda node: _words("" if node.name is None else _name(node.name), to_text(node.type)),
    tree.RowType: lambda node: f"row({_commas(node.fields)})",
    tree.Table: _table,
    tree.SubqueryRelation: lambda node: f"({to_text(node.query)})",
    tree.Unnest: _unnest,
    tree.Aliased: _aliased,
    tree.Join: _join,
    tree.SelectItem: _select_item,
    tree.AllColumns: _all_columns,
    tree.GroupingElement: _grouping_element,
    tree.GroupBy: _group_by,
    tree.Select: _select,
    tree.Values: lambda node: f"VALUES {_commas(node.rows)}",
    tree.SetOperation: _set_operation,
    tree.CommonTable: _common_table,
    tree.Query: _query,
    tree.ShowDatabases: _show_databases,
    tree.ShowTables: _show_tables,
    tree.ShowMeasures: _show_measures,
    tree.Describe: lambda node: f"DESCRIBE {to_text(node.table)}",
    tree.UnloadOption: lambda node: f"{_name(node.name)} = {to_text(node.value)}",
    tree.Unload: _unload,
}
