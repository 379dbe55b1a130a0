"""Scheduled queries with stock boto3: what may be made, what is shown of it, lists, states, tags and manual runs.

What a run does is shown only as far as its history goes. Source: scheduled-queries.md 1, 2, 4.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from support.stock import Table, fault, record, told

DEADLINE_S = 20.0
YEARLY = "cron(0 0 1 1 ? *)"
TOPIC, ROLE = "arn:aws:sns:us-east-1:000000000000:told", "arn:aws:iam::000000000000:role/runs"
NO_ARN = "arn:aws:timestream:us-east-1:000000000000:scheduled-query/none-0123456789ab"

_numbers = count(1)


@pytest.fixture
def source(table: Table) -> Table:
    """A table with a record of a double."""
    table.put(record("1.5"), record("2.5", Dimensions=[{"Name": "host", "Value": "b"}]))
    return table


@pytest.fixture
def target(write: Any, query: Any, database: str) -> Table:
    """An empty table in the same database."""
    write.create_table(DatabaseName=database, TableName="derived")
    return Table(write, query, database, "derived")


@pytest.fixture
def wanted(source: Table, target: Table) -> dict[str, Any]:
    """A request with all that is required and a target."""
    text = (
        "SELECT host, bin(time, 1h) AS hour, avg(measure_value::double) AS mean, count(*) AS n "
        f'FROM "{source.database}"."{source.name}" '
        "WHERE time <= @scheduled_runtime GROUP BY host, bin(time, 1h)"
    )
    return {
        "Name": f"query-{next(_numbers)}",
        "QueryString": text,
        "ScheduleConfiguration": {"ScheduleExpression": YEARLY},
        "NotificationConfiguration": {"SnsConfiguration": {"TopicArn": TOPIC}},
        "ScheduledQueryExecutionRoleArn": ROLE,
        "ErrorReportConfiguration": {"S3Configuration": {"BucketName": "reports", "ObjectKeyPrefix": "errors"}},
        "TargetConfiguration": {
            "TimestreamConfiguration": {
                "DatabaseName": target.database,
                "TableName": target.name,
                "TimeColumn": "hour",
                "DimensionMappings": [{"Name": "host", "DimensionValueType": "VARCHAR"}],
                "MultiMeasureMappings": {
                    "TargetMultiMeasureName": "load",
                    "MultiMeasureAttributeMappings": [
                        {"SourceColumn": "mean", "MeasureValueType": "DOUBLE"},
                        {
                            "SourceColumn": "n",
                            "TargetMultiMeasureAttributeName": "rows",
                            "MeasureValueType": "BIGINT",
                        },
                    ],
                },
            }
        },
    }


@pytest.fixture
def arn(query: Any, wanted: dict[str, Any]) -> Iterator[str]:
    """The ARN of a query that was made of `wanted`."""
    made: str = query.create_scheduled_query(**wanted)["Arn"]
    yield made
    query.delete_scheduled_query(ScheduledQueryArn=made)


def described(query: Any, arn: str) -> dict[str, Any]:
    found: dict[str, Any] = query.describe_scheduled_query(ScheduledQueryArn=arn)["ScheduledQuery"]
    return found


def mapped(wanted: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The request with other members of its target; None takes one away."""
    of = {**wanted["TargetConfiguration"]["TimestreamConfiguration"], **changes}
    present = {name: value for name, value in of.items() if value is not None}
    return {**wanted, "TargetConfiguration": {"TimestreamConfiguration": present}}


def listed(query: Any, **page: Any) -> list[str]:
    pages = query.get_paginator("list_scheduled_queries").paginate(**page)
    return [element["Name"] for page in pages for element in page["ScheduledQueries"]]


def last_run(query: Any, arn: str, invocation: datetime) -> dict[str, Any]:
    """The summary of the run with this invocation time, when it has ended."""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        last: dict[str, Any] = described(query, arn).get("LastRunSummary", {})
        if last.get("InvocationTime") == invocation:
            return last
        time.sleep(0.05)
    raise AssertionError(f"no run of {invocation} has ended: {described(query, arn)}")


def disabled(query: Any, arn: str) -> dict[str, Any]:
    """The description when the server has disabled the query, which it does after it has remembered the run."""
    deadline_s = time.monotonic() + DEADLINE_S
    while (found := described(query, arn))["State"] == "ENABLED":
        assert time.monotonic() < deadline_s, found
        time.sleep(0.05)
    return found


def test_what_was_asked_for_is_shown(query: Any, wanted: dict[str, Any], arn: str) -> None:
    prefix, _, name = arn.rpartition("/")
    assert prefix == "arn:aws:timestream:us-east-1:000000000000:scheduled-query"
    assert name.removeprefix(f"{wanted['Name']}-").isalnum()
    assert len(name) == len(wanted["Name"]) + 13
    found = described(query, arn)
    assert {member: found[member] for member in wanted} == wanted
    assert (found["Arn"], found["State"]) == (arn, "ENABLED")
    assert abs(found["CreationTime"] - datetime.now(UTC)) < timedelta(minutes=5)
    year = datetime.now(UTC).year + 1
    assert found["NextInvocationTime"] == datetime(year, 1, 1, tzinfo=UTC)
    assert found["RecentlyFailedRuns"] == []
    assert not {"PreviousInvocationTime", "LastRunSummary", "KmsKeyId"} & set(found)


def test_mixed_mappings_and_a_key_are_shown_as_they_were_sent(query: Any, wanted: dict[str, Any]) -> None:
    mappings = [
        {"SourceColumn": "mean", "TargetMeasureName": "average", "MeasureValueType": "DOUBLE"},
        {
            "TargetMeasureName": "both",
            "MeasureValueType": "MULTI",
            "MultiMeasureAttributeMappings": [{"SourceColumn": "n", "MeasureValueType": "BIGINT"}],
        },
    ]
    request = mapped(wanted, MultiMeasureMappings=None, MixedMeasureMappings=mappings)
    report = {"S3Configuration": {"BucketName": "reports", "EncryptionOption": "SSE_KMS"}}
    made = query.create_scheduled_query(**{**request, "ErrorReportConfiguration": report}, KmsKeyId="alias/mine")
    found = described(query, made["Arn"])
    query.delete_scheduled_query(ScheduledQueryArn=made["Arn"])
    assert found["TargetConfiguration"] == request["TargetConfiguration"]
    assert (found["KmsKeyId"], found["ErrorReportConfiguration"]) == ("alias/mine", report)


def test_a_name_may_have_all_the_characters_of_the_model(query: Any, wanted: dict[str, Any]) -> None:
    name = f"|!-_*'()/../{wanted['Name']}."
    arn = query.create_scheduled_query(**{**wanted, "Name": name}, Tags=[{"Key": "a", "Value": "b"}])["Arn"]
    assert described(query, arn)["Name"] == name
    assert query.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    assert name in listed(query)
    query.delete_scheduled_query(ScheduledQueryArn=arn)


def test_a_query_may_have_no_target(query: Any, wanted: dict[str, Any]) -> None:
    del wanted["TargetConfiguration"]
    arn = query.create_scheduled_query(**{**wanted, "QueryString": "SELECT @scheduled_runtime"})["Arn"]
    assert "TargetConfiguration" not in described(query, arn)
    element = next(one for one in query.list_scheduled_queries()["ScheduledQueries"] if one["Arn"] == arn)
    assert "TargetDestination" not in element
    query.delete_scheduled_query(ScheduledQueryArn=arn)


def test_the_same_call_again_answers_the_same(query: Any, wanted: dict[str, Any]) -> None:
    token = "t" * 32
    arn = query.create_scheduled_query(**wanted, ClientToken=token)["Arn"]
    assert query.create_scheduled_query(**wanted, ClientToken=token)["Arn"] == arn
    code, status, text = told(lambda: query.create_scheduled_query(**wanted))
    assert (code, status) == ("ConflictException", 409)
    assert text == f"The scheduled query {wanted['Name']} already exists."
    other = {**wanted, "ScheduledQueryExecutionRoleArn": ROLE + "2"}
    assert told(lambda: query.create_scheduled_query(**other, ClientToken=token))[:2] == ("ConflictException", 409)
    query.delete_scheduled_query(ScheduledQueryArn=arn)
    # Made again it is another one.
    again = query.create_scheduled_query(**wanted, ClientToken=token)["Arn"]
    assert again != arn
    query.delete_scheduled_query(ScheduledQueryArn=again)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"QueryString": "SELECT gateway_id FROM {source}"}, "line 1:8: Column 'gateway_id' does not exist"),
        ({"QueryString": "SELECT @other"}, "Parameter '@other' has no value"),
        ({"QueryString": "SHOW DATABASES"}, "Only a SELECT can be scheduled."),
        ({"ScheduleConfiguration": {"ScheduleExpression": "rate(30 seconds)"}}, "rate(30 seconds) is invalid: "),
        ({"ScheduleConfiguration": {"ScheduleExpression": "cron(0 * * * * *)"}}, "cron(0 * * * * *) is invalid: "),
        ({"KmsKeyId": "mine"}, "The KMS key identifier mine is invalid."),
        ({"Tags": [{"Key": "aws:x", "Value": ""}]}, "The tag key aws:x begins with aws:, which is reserved."),
        (
            {"ErrorReportConfiguration": {"S3Configuration": {"BucketName": "reports", "EncryptionOption": "SSE_KMS"}}},
            "KmsKeyId is required when EncryptionOption is SSE_KMS.",
        ),
    ],
)
def test_what_is_refused(
    query: Any, source: Table, wanted: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    if "QueryString" in changes:
        text = changes["QueryString"].replace("{source}", f'"{source.database}"."{source.name}"')
        changes = {"QueryString": text}
    code, status, text = told(lambda: query.create_scheduled_query(**{**wanted, **changes}))
    assert (code, status) == ("ValidationException", 400)
    assert message in text
    assert wanted["Name"] not in listed(query)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"TimeColumn": "time"}, "has no column time"),
        ({"TimeColumn": "mean"}, "must be of type timestamp"),
        ({"DimensionMappings": []}, "at least one dimension"),
        ({"DimensionMappings": [{"Name": "n", "DimensionValueType": "VARCHAR"}]}, "must be of type varchar"),
        ({"MeasureNameColumn": "n"}, "must be of type varchar"),
        ({"MultiMeasureMappings": None}, "Exactly one of"),
        (
            {
                "MultiMeasureMappings": {
                    "MultiMeasureAttributeMappings": [{"SourceColumn": "mean", "MeasureValueType": "DOUBLE"}]
                }
            },
            "TargetMultiMeasureName is required",
        ),
        (
            {
                "MultiMeasureMappings": None,
                "MixedMeasureMappings": [{"SourceColumn": "host", "MeasureValueType": "BIGINT"}],
            },
            "must be of type bigint",
        ),
    ],
)
def test_a_target_that_the_rows_do_not_fit(
    query: Any, wanted: dict[str, Any], changes: dict[str, Any], word: str
) -> None:
    code, status, text = told(lambda: query.create_scheduled_query(**mapped(wanted, **changes)))
    assert (code, status) == ("ValidationException", 400)
    assert word in text


def test_the_target_is_judged_as_it_is_now(write: Any, query: Any, target: Table, wanted: dict[str, Any]) -> None:
    """A column of another type, a required partition key that is not mapped, a table that is not there."""
    values = [{"Name": "mean", "Value": "text", "Type": "VARCHAR"}]
    row = {**record(""), "MeasureValueType": "MULTI", "MeasureValues": values}
    del row["MeasureValue"]
    target.put(row)
    assert told(lambda: query.create_scheduled_query(**wanted))[2] == (
        "The measure mean already exists with the type varchar."
    )
    key = {"Type": "DIMENSION", "Name": "zone", "EnforcementInRecord": "REQUIRED"}
    schema = {"CompositePartitionKey": [key]}
    write.create_table(DatabaseName=target.database, TableName="keyed", Schema=schema)
    text = told(lambda: query.create_scheduled_query(**mapped(wanted, TableName="keyed")))[2]
    assert "zone is the required partition key" in text
    code, _, text = told(lambda: query.create_scheduled_query(**mapped(wanted, TableName="absent")))
    assert (code, text) == ("ValidationException", "The table absent does not exist.")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"Name": "a"}, "name"),
        ({"Name": "a b"}, "name"),
        ({"ScheduleConfiguration": {"ScheduleExpression": "r" * 257}}, "scheduleConfiguration.scheduleExpression"),
        (
            {"ErrorReportConfiguration": {"S3Configuration": {"BucketName": "Upper"}}},
            "errorReportConfiguration.s3Configuration.bucketName",
        ),
        (
            {"ErrorReportConfiguration": {"S3Configuration": {"BucketName": "abc", "EncryptionOption": "NONE"}}},
            "errorReportConfiguration.s3Configuration.encryptionOption",
        ),
    ],
)
def test_a_broken_constraint_is_named(query: Any, wanted: dict[str, Any], changes: dict[str, Any], path: str) -> None:
    code, status, text = told(lambda: query.create_scheduled_query(**{**wanted, **changes}))
    assert (code, status) == ("ValidationException", 400)
    assert text.startswith("1 validation error detected: Value ")
    assert f" at '{path}' failed to satisfy constraint: Member must " in text


def test_a_text_with_values_is_not_in_a_message(query: Any, wanted: dict[str, Any]) -> None:
    text = told(lambda: query.create_scheduled_query(**{**wanted, "QueryString": "s" * 262_145}))[2]
    assert "sss" not in text


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lists_page_by_name(query: Any, wanted: dict[str, Any], size: int) -> None:
    names = [f"{wanted['Name']}-{letter}" for letter in "cab"]
    arns = [query.create_scheduled_query(**{**wanted, "Name": name})["Arn"] for name in names]
    found = listed(query, PaginationConfig={"PageSize": size})
    assert found == sorted(found)
    assert [name for name in found if name in names] == sorted(names)
    for arn in arns:
        query.delete_scheduled_query(ScheduledQueryArn=arn)


def test_an_element_of_a_list(query: Any, wanted: dict[str, Any], target: Table, arn: str) -> None:
    found = next(one for one in query.list_scheduled_queries()["ScheduledQueries"] if one["Arn"] == arn)
    shown = described(query, arn)
    same = ("Arn", "Name", "CreationTime", "State", "NextInvocationTime", "ErrorReportConfiguration")
    destination = {"TimestreamDestination": {"DatabaseName": target.database, "TableName": target.name}}
    assert found == {**{member: shown[member] for member in same}, "TargetDestination": destination}


def test_a_list_token_is_for_that_list(query: Any) -> None:
    code, status, text = told(lambda: query.list_scheduled_queries(NextToken="nonsense"))
    assert (code, status, text) == ("ValidationException", 400, "Invalid pagination token")


def test_a_disabled_query_has_no_next_time(query: Any, arn: str) -> None:
    query.update_scheduled_query(ScheduledQueryArn=arn, State="DISABLED")
    found = described(query, arn)
    assert found["State"] == "DISABLED"
    assert "NextInvocationTime" not in found
    query.update_scheduled_query(ScheduledQueryArn=arn, State="ENABLED")
    assert "NextInvocationTime" in described(query, arn)


def test_a_deleted_query_is_gone(query: Any, wanted: dict[str, Any]) -> None:
    arn = query.create_scheduled_query(**wanted)["Arn"]
    query.delete_scheduled_query(ScheduledQueryArn=arn)
    assert wanted["Name"] not in listed(query)
    assert told(lambda: described(query, arn))[:2] == ("ResourceNotFoundException", 404)


def test_what_is_not_there_is_named_by_its_arn(query: Any) -> None:
    of = {"ScheduledQueryArn": NO_ARN}
    for call in (
        lambda: query.describe_scheduled_query(**of),
        lambda: query.update_scheduled_query(**of, State="DISABLED"),
        lambda: query.execute_scheduled_query(**of, InvocationTime=0),
        lambda: query.delete_scheduled_query(**of),
    ):
        response = fault(call).response
        assert response["Error"]["Code"] == "ResourceNotFoundException"
        assert response["Error"]["Message"] == f"The scheduled query {NO_ARN} does not exist."
        assert response["ScheduledQueryArn"] == NO_ARN


def test_tags_of_a_scheduled_query(query: Any, wanted: dict[str, Any]) -> None:
    tags = [{"Key": "stage", "Value": "test"}, {"Key": "team", "Value": "a"}]
    arn = query.create_scheduled_query(**wanted, Tags=tags)["Arn"]
    pages = query.get_paginator("list_tags_for_resource").paginate(ResourceARN=arn, PaginationConfig={"PageSize": 1})
    assert [page["Tags"] for page in pages] == [tags[:1], tags[1:]]
    query.tag_resource(ResourceARN=arn, Tags=[{"Key": "team", "Value": "b"}])
    query.untag_resource(ResourceARN=arn, TagKeys=["stage"])
    assert query.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "team", "Value": "b"}]
    query.delete_scheduled_query(ScheduledQueryArn=arn)
    assert told(lambda: query.list_tags_for_resource(ResourceARN=arn))[0] == "ResourceNotFoundException"


def test_a_manual_run_writes_and_is_remembered(query: Any, target: Table, arn: str) -> None:
    invocation = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)
    query.execute_scheduled_query(ScheduledQueryArn=arn, InvocationTime=invocation)
    last = last_run(query, arn, invocation)
    assert last["RunStatus"] == "MANUAL_TRIGGER_SUCCESS"
    assert (last["ExecutionStats"]["QueryResultRows"], last["ExecutionStats"]["RecordsIngested"]) == (2, 2)
    assert abs(last["TriggerTime"] - datetime.now(UTC)) < timedelta(minutes=5)
    assert not {"QueryInsightsResponse", "ErrorReportLocation", "FailureReason"} & set(last)
    assert target.select("host, mean, rows", "ORDER BY host") == [("a", "1.5", "1"), ("b", "2.5", "1")]
    found = described(query, arn)
    assert found["PreviousInvocationTime"] == invocation
    assert found["RecentlyFailedRuns"] == []
    element = next(one for one in query.list_scheduled_queries()["ScheduledQueries"] if one["Arn"] == arn)
    assert element["LastRunStatus"] == "MANUAL_TRIGGER_SUCCESS"


def test_a_run_before_all_records_finds_none(query: Any, arn: str) -> None:
    """Any invocation time is allowed; here with insights, and the same call twice, which is one run."""
    for _ in range(2):
        query.execute_scheduled_query(
            ScheduledQueryArn=arn,
            InvocationTime=datetime(1971, 1, 1, tzinfo=UTC),
            ClientToken="r" * 32,
            QueryInsights={"Mode": "ENABLED_WITH_RATE_CONTROL"},
        )
    last = last_run(query, arn, datetime(1971, 1, 1, tzinfo=UTC))
    assert last["ExecutionStats"]["QueryResultRows"] == 0
    assert last["QueryInsightsResponse"]["QueryTableCount"] == 1


def test_a_run_that_fails_disables_the_query(write: Any, query: Any, target: Table, arn: str) -> None:
    write.delete_table(DatabaseName=target.database, TableName=target.name)
    invocation = datetime.now(UTC).replace(microsecond=0)
    query.execute_scheduled_query(ScheduledQueryArn=arn, InvocationTime=invocation)
    found = disabled(query, arn)
    last = found["LastRunSummary"]
    assert (last["RunStatus"], last["InvocationTime"]) == ("MANUAL_TRIGGER_FAILURE", invocation)
    assert last["FailureReason"] == f"The table {target.name} does not exist."
    assert found["RecentlyFailedRuns"] == [last]
