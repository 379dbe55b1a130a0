"""An identity policy of IAM: a JSON document in, and what it says of an action on a resource out. Pure.

`roles` reads the documents. Whatever of the language is not known here is refused when a document is read: a condition
that is passed over would allow what it was written to forbid. Source: IAM user guide, "Grammar of the policy language"
and "Policy evaluation logic"; reliability.md 6 "Permission".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

from headwater.errors import Invalid

_VERSIONS = ("2008-10-17", "2012-10-17")
_DOCUMENT = {"Version", "Id", "Statement"}
_STATEMENT = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource"}

_ACTION = re.compile(r"\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+", re.ASCII)
_RESOURCE = re.compile(r"\*|arn:.+", re.DOTALL)


class Decision(Enum):
    ALLOWED = "allowed"
    DENIED = "denied by a statement"
    NOT_ALLOWED = "allowed by no statement"


@dataclass(frozen=True, slots=True)
class Patterns:
    """Texts that match one of them are in; with `is_negated`, all others (NotAction, NotResource)."""

    compiled: tuple[re.Pattern[str], ...]
    is_negated: bool

    def __contains__(self, text: str) -> bool:
        return any(pattern.fullmatch(text) for pattern in self.compiled) is not self.is_negated


@dataclass(frozen=True, slots=True)
class Statement:
    """`actions` are in lower case."""

    is_allow: bool
    actions: Patterns
    resources: Patterns


@dataclass(frozen=True, slots=True)
class Policy:
    """All statements that hold for somebody, of one document or of several."""

    statements: tuple[Statement, ...]

    def decide(self, action: str, resource: str) -> Decision:
        """Actions are compared in any case, resources as they are. One Deny that fits wins over every Allow."""
        found = {one.is_allow for one in self.statements if action.lower() in one.actions and resource in one.resources}
        if False in found:
            return Decision.DENIED
        return Decision.ALLOWED if found else Decision.NOT_ALLOWED


def read_policy(data: bytes) -> Policy:
    """The policy of a file: a document, or a list of them. Raises Invalid, which names the statement and the rule."""
    try:
        found = json.loads(data, object_pairs_hook=_members_once)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"it cannot be read: {error}") from error
    documents = found if isinstance(found, list) else [found]
    return Policy(tuple(statement for document in documents for statement in _statements(document)))


def compiled(pattern: str) -> re.Pattern[str]:
    """`*` stands for any text, `/` and `:` included, and `?` for one character.

    What stands between two `*` is looked for where it comes first, and never again (the groups are atomic): a text is
    read about once, whatever the pattern.
    """
    first, *others = ("".join("." if c == "?" else re.escape(c) for c in part) for part in pattern.split("*"))
    if others:
        first += "".join(f"(?>.*?{part})" for part in others[:-1]) + f".*{others[-1]}"
    return re.compile(first, re.DOTALL)


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two members of one name JSON readers keep one, which may not be the one that was meant."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member stands twice in one object")
    return members


def _statements(document: Any) -> list[Statement]:
    _check_members(document, _DOCUMENT, "the document")
    version = document.get("Version", _VERSIONS[0])
    if version not in _VERSIONS:
        raise Invalid(f"Version {version!r} is none of {', '.join(_VERSIONS)}")
    found = document.get("Statement")
    sent = found if isinstance(found, list) else [found]
    if not sent:
        raise Invalid("Statement is empty")
    return [_statement(one, f"statement {number}") for number, one in enumerate(sent, 1)]


def _statement(sent: Any, where: str) -> Statement:
    _check_members(sent, _STATEMENT, where)
    where += f" ({sent['Sid']})" if "Sid" in sent else ""
    if sent.get("Effect") not in ("Allow", "Deny"):
        raise Invalid(f"{where}: Effect must be Allow or Deny")
    actions = _patterns(sent, "Action", _ACTION, "an action as service:Name, or *", where)
    resources = _patterns(sent, "Resource", _RESOURCE, "an ARN, or *", where)
    return Statement(sent["Effect"] == "Allow", actions, resources)


def _patterns(sent: dict[str, Any], name: str, form: re.Pattern[str], rule: str, where: str) -> Patterns:
    """Of the member `name` or its opposite, exactly one of which must be there: a text or several."""
    given = [key for key in (name, f"Not{name}") if key in sent]
    if len(given) != 1:
        raise Invalid(f"{where}: there must be one of {name} and Not{name}")
    texts = sent[given[0]] if isinstance(sent[given[0]], list) else [sent[given[0]]]
    if not texts:
        raise Invalid(f"{where}: {given[0]} is empty")
    for text in texts:
        if not isinstance(text, str) or not form.fullmatch(text):
            raise Invalid(f"{where}: {given[0]} {text!r} is not {rule}")
        if "${" in text:
            raise Invalid(f"{where}: {given[0]} {text!r} has a policy variable, which is not supported")
    is_action = name == "Action"
    return Patterns(tuple(compiled(t.lower() if is_action else t) for t in texts), given[0] != name)


def _check_members(value: Any, known: set[str], where: str) -> None:
    if not isinstance(value, dict):
        raise Invalid(f"{where} is not an object")
    unknown = sorted(set(value) - known)
    if unknown:
        raise Invalid(f"{where}: {', '.join(unknown)} is not supported")
    for name in ("Id", "Sid"):
        if not isinstance(value.get(name, ""), str):
            raise Invalid(f"{where}: {name} is not a text")
