"""Policies: what a document says of an action on a resource, and which documents are refused."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import Invalid
from headwater.rights.policy import Decision, compiled, read_policy

ALLOWED, DENIED, NOT_ALLOWED = Decision.ALLOWED, Decision.DENIED, Decision.NOT_ALLOWED
ROOT = "arn:aws:timestream:us-east-1:000000000000:database"
CPU, DISK = f"{ROOT}/db/table/cpu", f"{ROOT}/db/table/disk"
SELECT, WRITE = "timestream:Select", "timestream:WriteRecords"


def statement(effect: str = "Allow", action: Any = SELECT, resource: Any = "*", **others: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **others}


def document(*statements: Any, version: str = "2012-10-17") -> dict[str, Any]:
    return {"Version": version, "Statement": list(statements)}


def decide(found: Any, action: str = SELECT, resource: str = CPU) -> Decision:
    return read_policy(json.dumps(found).encode()).decide(action, resource)


@pytest.mark.parametrize(
    ("pattern", "decision"),
    [
        (SELECT, ALLOWED),
        ("TIMESTREAM:select", ALLOWED),
        ("timestream:*", ALLOWED),
        ("timestream:Sel?ct", ALLOWED),
        ("*", ALLOWED),
        ("timestream:Select?", NOT_ALLOWED),
        ("timestream:SelectValues", NOT_ALLOWED),
        ("s3:*", NOT_ALLOWED),
        ([WRITE, SELECT], ALLOWED),
    ],
)
def test_actions_match_in_any_case(pattern: Any, decision: Decision) -> None:
    assert decide(document(statement(action=pattern))) is decision


@pytest.mark.parametrize(
    ("pattern", "decision"),
    [
        (CPU, ALLOWED),
        (f"{ROOT}/db/table/*", ALLOWED),
        (f"{ROOT}/*", ALLOWED),
        ("arn:*:table/cpu", NOT_ALLOWED),
        ("arn:*/table/cpu", ALLOWED),
        ("arn:aws:timestream:*:*:database/db/table/c?u", ALLOWED),
        (f"{ROOT}/db/table/CPU", NOT_ALLOWED),
        (f"{ROOT}/db", NOT_ALLOWED),
        (f"{CPU}?", NOT_ALLOWED),
        ([DISK, CPU], ALLOWED),
        ("*", ALLOWED),
    ],
)
def test_resources_match_as_they_are_written(pattern: Any, decision: Decision) -> None:
    assert decide(document(statement(resource=pattern))) is decision


def test_what_nothing_allows_is_not_allowed() -> None:
    assert decide([]) is NOT_ALLOWED
    assert decide(document(statement("Deny", resource=DISK))) is NOT_ALLOWED


def test_a_deny_wins_over_every_allow_wherever_it_stands() -> None:
    allow, deny = statement(resource=f"{ROOT}/db/table/*"), statement("Deny", resource=CPU)
    both = [document(allow, deny), document(deny, allow), [document(allow), document(deny)]]
    assert [decide(one) for one in both] == [DENIED] * 3
    assert [decide(one, resource=DISK) for one in both] == [ALLOWED] * 3


def test_not_action_and_not_resource_mean_all_others() -> None:
    others = document({"Effect": "Allow", "NotAction": [WRITE, "s3:*"], "NotResource": DISK})
    assert decide(others) is ALLOWED
    assert decide(others, WRITE) is NOT_ALLOWED
    assert decide(others, "s3:PutObject") is NOT_ALLOWED
    assert decide(others, resource=DISK) is NOT_ALLOWED


def test_a_policy_may_have_one_statement_an_id_and_no_version() -> None:
    assert decide({"Id": "mine", "Statement": statement(Sid="all")}) is ALLOWED
    assert decide(document(statement(), version="2008-10-17")) is ALLOWED


@pytest.mark.parametrize(
    ("found", "rule"),
    [
        (7, "the document is not an object"),
        ([document(statement()), "x"], "the document is not an object"),
        ({}, "statement 1 is not an object"),
        ({"Statement": []}, "Statement is empty"),
        (document(statement(), version="2020-01-01"), "Version '2020-01-01' is none of"),
        (document(statement(), version=["2012-10-17"]), "is none of"),
        ({**document(statement()), "Statements": []}, "the document: Statements is not supported"),
        ({**document(statement()), "Id": 1}, "Id is not a text"),
        (document(statement(Sid=None)), "statement 1: Sid is not a text"),
        (document(statement(), statement("allow")), "statement 2: Effect must be Allow or Deny"),
        (document(statement(Sid="mine", Condition={})), "statement 1: Condition is not supported"),
        (document(statement(Principal="*")), "Principal is not supported"),
        (document(statement(NotPrincipal="*")), "NotPrincipal is not supported"),
        (document({"Effect": "Allow", "Resource": "*"}), "there must be one of Action and NotAction"),
        (document(statement(NotAction="*")), "there must be one of Action and NotAction"),
        (document(statement("Deny", Sid="two", NotResource="*")), r"\(two\): there must be one of Resource"),
        (document(statement(action=[])), "Action is empty"),
        (document(statement(action="Select")), "Action 'Select' is not an action as service:Name"),
        (document(statement(action=[SELECT, 1])), "Action 1 is not"),
        (document(statement(action="time*:Select")), "is not an action"),
        (document(statement(resource="cpu")), "Resource 'cpu' is not an ARN"),
        (document(statement(resource=None)), "Resource None is not an ARN"),
        (document(statement(resource="arn:aws:s3:::${aws:username}/*")), "policy variable, which is not supported"),
    ],
)
def test_what_is_not_known_is_refused(found: Any, rule: str) -> None:
    with pytest.raises(Invalid, match=rule):
        read_policy(json.dumps(found).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"Statement": {"Effect": "Deny", "Effect": "Allow", "Action": "*", "Resource": "*"}}',
    ],
)
def test_what_cannot_be_read_in_one_way_only_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid, match="it cannot be read"):
        read_policy(data)


def matches(pattern: str, text: str) -> bool:
    """The meaning of a pattern, letter by letter."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return matches(pattern[1:], text) or (bool(text) and matches(pattern, text[1:]))
    return bool(text) and pattern[0] in ("?", text[0]) and matches(pattern[1:], text[1:])


@given(st.text("ab*?/\\\n[", max_size=8), st.text("ab/\\\n[*", max_size=8))
def test_wildcards_mean_what_the_naive_matcher_says(pattern: str, text: str) -> None:
    assert (compiled(pattern).fullmatch(text) is not None) is matches(pattern, text)


@pytest.mark.parametrize("pattern", ["*a" * 200 + "*b", "*" * 500 + "b", "*a?" * 100 + "*b", "a*" * 300 + "b"])
def test_a_hostile_pattern_is_quick(pattern: str) -> None:
    resource = "arn:" + "a" * 2_000
    policy = read_policy(json.dumps(document(statement(resource="arn:" + pattern))).encode())
    started_s = time.perf_counter()
    assert policy.decide(SELECT, resource) is NOT_ALLOWED
    assert time.perf_counter() - started_s < 0.5
