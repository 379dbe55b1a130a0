"""Operations over a real socket: shapes of answers, pages of lists, and the order of checks."""

from __future__ import annotations

from contextlib import suppress

import botocore.session
import pytest

from headwater.errors import Invalid
from headwater.server import tokens
from headwater.server.operations import OPERATIONS
from support.serving import ACCOUNT, REGION, make_instance, running

ARN = f"arn:aws:timestream:{REGION}:{ACCOUNT}:database"
NOW_S, LATER_S = 1_700_000_000.123, 1_700_000_002.123


def ok(answer):
    status, body = answer
    assert status == 200, body
    return body


def test_every_operation_of_the_service_model_is_here_and_no_other():
    session = botocore.session.get_session()
    modelled = set()
    for service in ("timestream-write", "timestream-query"):
        modelled |= set(session.get_service_model(service).operation_names)
    assert set(OPERATIONS) == modelled


def test_the_life_of_a_database(server):
    created = ok(server.call("CreateDatabase", {"DatabaseName": "metrics"}))["Database"]
    key = created.pop("KmsKeyId")
    assert key.startswith(f"arn:aws:kms:{REGION}:{ACCOUNT}:key/")
    assert created == {
        "Arn": f"{ARN}/metrics",
        "DatabaseName": "metrics",
        "TableCount": 0,
        "CreationTime": NOW_S,
        "LastUpdatedTime": NOW_S,
    }
    ok(server.call("CreateTable", {"DatabaseName": "metrics", "TableName": "cpu"}))
    described = ok(server.call("DescribeDatabase", {"DatabaseName": "metrics"}))["Database"]
    assert described == {**created, "KmsKeyId": key, "TableCount": 1}
    assert server.call("DeleteDatabase", {"DatabaseName": "metrics"})[0] == 400
    assert ok(server.call("DeleteTable", {"DatabaseName": "metrics", "TableName": "cpu"})) == {}
    assert ok(server.call("DeleteDatabase", {"DatabaseName": "metrics"})) == {}
    status, body = server.call("DescribeDatabase", {"DatabaseName": "metrics"})
    assert (status, body["message"]) == (404, "The database metrics does not exist.")


def test_a_table_with_all_defaults(server):
    ok(server.call("CreateDatabase", {"DatabaseName": "metrics"}))
    expected = {
        "Arn": f"{ARN}/metrics/table/cpu",
        "TableName": "cpu",
        "DatabaseName": "metrics",
        "TableStatus": "ACTIVE",
        "RetentionProperties": {
            "MemoryStoreRetentionPeriodInHours": 6,
            "MagneticStoreRetentionPeriodInDays": 73000,
        },
        "CreationTime": NOW_S,
        "LastUpdatedTime": NOW_S,
        "MagneticStoreWriteProperties": {"EnableMagneticStoreWrites": False},
        "Schema": {"CompositePartitionKey": [{"Type": "MEASURE"}]},
    }
    names = {"DatabaseName": "metrics", "TableName": "cpu"}
    assert ok(server.call("CreateTable", names)) == {"Table": expected}
    assert ok(server.call("DescribeTable", names)) == {"Table": expected}
    assert ok(server.call("UpdateTable", names)) == {"Table": expected}


def test_a_table_echoes_what_was_sent_and_an_update_replaces_only_what_it_names(server):
    ok(server.call("CreateDatabase", {"DatabaseName": "metrics"}))
    names = {"DatabaseName": "metrics", "TableName": "cpu"}
    writes = {
        "EnableMagneticStoreWrites": True,
        "MagneticStoreRejectedDataLocation": {"S3Configuration": {"BucketName": "rejects"}},
    }
    key = {"Type": "DIMENSION", "Name": "host"}
    sent = {**names, "MagneticStoreWriteProperties": writes, "Schema": {"CompositePartitionKey": [key]}}
    created = ok(server.call("CreateTable", sent))["Table"]
    assert created["MagneticStoreWriteProperties"] == writes
    assert created["Schema"] == {"CompositePartitionKey": [{**key, "EnforcementInRecord": "OPTIONAL"}]}

    server.instance.clock.advance(2 * 10**9)
    retention = {"MemoryStoreRetentionPeriodInHours": 24, "MagneticStoreRetentionPeriodInDays": 7}
    updated = ok(server.call("UpdateTable", {**names, "RetentionProperties": retention}))["Table"]
    assert updated == {**created, "RetentionProperties": retention, "LastUpdatedTime": LATER_S}


def test_too_many_partition_keys(server):
    ok(server.call("CreateDatabase", {"DatabaseName": "metrics"}))
    keys = [{"Type": "DIMENSION", "Name": "a"}, {"Type": "DIMENSION", "Name": "b"}]
    request = {"DatabaseName": "metrics", "TableName": "cpu", "Schema": {"CompositePartitionKey": keys}}
    status, body = server.call("CreateTable", request)
    assert status == 400
    assert body["message"] == (
        "You have specified too many partition keys to be used in your composite partition key. "
        "Only 1 partition keys can be specified."
    )


def test_names_that_are_taken(server):
    ok(server.call("CreateDatabase", {"DatabaseName": "metrics"}))
    assert server.call("CreateDatabase", {"DatabaseName": "metrics"})[0] == 409
    ok(server.call("CreateDatabase", {"DatabaseName": "Metrics"}))


def test_a_database_gets_another_key(server):
    created = ok(server.call("CreateDatabase", {"DatabaseName": "metrics"}))["Database"]
    server.instance.clock.advance(2 * 10**9)
    same = {"DatabaseName": "metrics", "KmsKeyId": created["KmsKeyId"]}
    assert ok(server.call("UpdateDatabase", same))["Database"] == created
    other = {"DatabaseName": "metrics", "KmsKeyId": "alias/ExampleAlias"}
    changed = {**created, "KmsKeyId": "alias/ExampleAlias", "LastUpdatedTime": LATER_S}
    assert ok(server.call("UpdateDatabase", other))["Database"] == changed
    assert ok(server.call("DescribeDatabase", {"DatabaseName": "metrics"}))["Database"] == changed
    status, body = server.call("UpdateDatabase", {"DatabaseName": "metrics", "KmsKeyId": "mine"})
    assert (status, body["message"]) == (400, "The KMS key identifier mine is invalid.")
    assert server.call("UpdateDatabase", {**other, "DatabaseName": "none"})[0] == 404


def tags(**values):
    return [{"Key": key, "Value": value} for key, value in values.items()]


def test_tags_of_a_database_and_of_its_tables_are_kept_apart(server):
    ok(server.call("CreateDatabase", {"DatabaseName": "metrics", "Tags": tags(team="a", stage="test")}))
    ok(server.call("CreateTable", {"DatabaseName": "metrics", "TableName": "cpu", "Tags": tags(team="b")}))
    database, table = {"ResourceARN": f"{ARN}/metrics"}, {"ResourceARN": f"{ARN}/metrics/table/cpu"}
    assert ok(server.call("ListTagsForResource", database)) == {"Tags": tags(stage="test", team="a")}
    assert ok(server.call("ListTagsForResource", table)) == {"Tags": tags(team="b")}
    assert ok(server.call("TagResource", {**table, "Tags": tags(team="c", Team="", städte="ö 1")})) == {}
    assert ok(server.call("ListTagsForResource", table)) == {"Tags": tags(Team="", städte="ö 1", team="c")}
    assert ok(server.call("UntagResource", {**table, "TagKeys": ["Team", "absent"]})) == {}
    assert ok(server.call("ListTagsForResource", table)) == {"Tags": tags(städte="ö 1", team="c")}
    ok(server.call("DeleteTable", {"DatabaseName": "metrics", "TableName": "cpu"}))
    assert server.call("ListTagsForResource", table)[0] == 404
    ok(server.call("CreateTable", {"DatabaseName": "metrics", "TableName": "cpu"}))
    assert ok(server.call("ListTagsForResource", table)) == {"Tags": []}


def test_tags_come_in_pages_to_clients_that_ask_for_them(server):
    ok(server.call("CreateDatabase", {"DatabaseName": "metrics", "Tags": tags(a="1", b="2", c="3")}))
    request, found = {"ResourceARN": f"{ARN}/metrics", "MaxResults": 2}, []
    first = ok(server.call("ListTagsForResource", request))
    second = ok(server.call("ListTagsForResource", {**request, "NextToken": first["NextToken"]}))
    found = [first["Tags"], second["Tags"]]
    assert found == [tags(a="1", b="2"), tags(c="3")]
    assert "NextToken" not in second
    assert server.call("ListTagsForResource", {**request, "NextToken": "x"})[0] == 400


@pytest.mark.parametrize(
    ("arn", "status"),
    [
        (f"{ARN}/none", 404),
        (f"{ARN}/metrics/table/none", 404),
        (f"arn:aws:timestream:{REGION}:{ACCOUNT}:scheduled-query/daily-1234", 404),
        (f"arn:aws:timestream:eu-west-1:{ACCOUNT}:database/metrics", 404),
        (f"arn:aws:timestream:{REGION}:999999999999:database/metrics", 404),
        ("metrics", 400),
        (f"arn:aws:s3:{REGION}:{ACCOUNT}:database/metrics", 400),
        (f"{ARN}/", 400),
        (f"{ARN}/metrics/", 400),
        (f"{ARN}/metrics/table/", 400),
        (f"{ARN}/metrics/table/a/b", 400),
    ],
)
def test_an_arn_that_names_nothing_here(server, arn, status):
    ok(server.call("CreateDatabase", {"DatabaseName": "metrics"}))
    for operation, more in (
        ("TagResource", {"Tags": []}),
        ("UntagResource", {"TagKeys": []}),
        ("ListTagsForResource", {}),
    ):
        assert server.call(operation, {"ResourceARN": arn, **more})[0] == status


def batch_load(**more):
    source = {"DataSourceS3Configuration": {"BucketName": "source"}, "DataFormat": "CSV"}
    report = {"ReportS3Configuration": {"BucketName": "reports"}}
    attribute = {"SourceColumn": "cpu", "MeasureValueType": "DOUBLE"}
    multi = {"TargetMultiMeasureName": "all", "MultiMeasureAttributeMappings": [attribute]}
    model = {"TimeColumn": "time", "DimensionMappings": [{"SourceColumn": "host"}], "MultiMeasureMappings": multi}
    more = {"DataModelConfiguration": {"DataModel": model}, **more}
    names = {"TargetDatabaseName": "metrics", "TargetTableName": "cpu"}
    return {"DataSourceConfiguration": source, "ReportConfiguration": report, **names, **more}


def test_a_batch_load_is_checked(server):
    status, body = server.call("CreateBatchLoadTask", batch_load())
    assert (status, body["message"]) == (404, "The database metrics does not exist.")
    ok(server.call("CreateDatabase", {"DatabaseName": "metrics"}))
    assert server.call("CreateBatchLoadTask", batch_load())[1]["message"] == "The table cpu does not exist."
    ok(server.call("CreateTable", {"DatabaseName": "metrics", "TableName": "cpu"}))
    status, body = server.call("CreateBatchLoadTask", batch_load())
    assert (status, body["message"]) == (
        400,
        "The bucket source cannot be used: this server has no object_store setting.",
    )
    mapping = {"SourceColumn": "cpu", "MeasureValueType": "MULTI"}
    model = {
        "DimensionMappings": [],
        "MultiMeasureMappings": {"MultiMeasureAttributeMappings": [mapping]},
        "TimeUnit": "HOURS",
    }
    status, body = server.call("CreateBatchLoadTask", batch_load(DataModelConfiguration={"DataModel": model}))
    assert (status, body["__type"]) == (400, "com.amazon.coral.validate#ValidationException")
    path = "dataModelConfiguration.dataModel"
    assert body["message"].startswith("3 validation errors detected: ")
    assert [part.split("' at '")[1].split("'")[0] for part in body["message"].split("; ")] == [
        f"{path}.timeUnit",
        f"{path}.dimensionMappings",
        f"{path}.multiMeasureMappings.multiMeasureAttributeMappings.1.member.measureValueType",
    ]


def test_there_are_no_batch_load_tasks(server):
    assert ok(server.call("ListBatchLoadTasks", {"TaskStatus": "FAILED"})) == {"BatchLoadTasks": []}
    assert server.call("ListBatchLoadTasks", {"NextToken": "x"})[1]["message"] == "Invalid pagination token"
    for operation in ("DescribeBatchLoadTask", "ResumeBatchLoadTask"):
        status, body = server.call(operation, {"TaskId": "ABC"})
        assert (status, body["message"]) == (404, "The batch load task ABC does not exist.")
        assert server.call(operation, {"TaskId": "abc"})[1]["__type"] == "com.amazon.coral.validate#ValidationException"


def pages(server, operation, request, member):
    """Names on each page."""
    found, token = [], {}
    while True:
        body = ok(server.call(operation, {**request, **token}))
        name = {"Databases": "DatabaseName", "Tables": "TableName"}[member]
        found.append([element[name] for element in body[member]])
        if "NextToken" not in body:
            return found
        token = {"NextToken": body["NextToken"]}


def test_lists_come_in_pages_in_order_of_name(server):
    for name in ("bbb", "ccc", "aaa"):
        ok(server.call("CreateDatabase", {"DatabaseName": name}))
        for table in ("t-2", "t-1"):
            ok(server.call("CreateTable", {"DatabaseName": name, "TableName": table}))
    assert pages(server, "ListDatabases", {}, "Databases") == [["aaa", "bbb", "ccc"]]
    assert pages(server, "ListDatabases", {"MaxResults": 2}, "Databases") == [["aaa", "bbb"], ["ccc"]]
    assert pages(server, "ListDatabases", {"MaxResults": 3}, "Databases") == [["aaa", "bbb", "ccc"]]
    assert pages(server, "ListTables", {"DatabaseName": "bbb", "MaxResults": 1}, "Tables") == [["t-1"], ["t-2"]]
    assert pages(server, "ListTables", {"MaxResults": 4}, "Tables") == [["t-1", "t-2", "t-1", "t-2"], ["t-1", "t-2"]]


def test_a_page_has_twenty_unless_told_otherwise(server):
    for number in range(21):
        server.instance.catalog.create_database(f"d{number:03}", None)
    assert [len(page) for page in pages(server, "ListDatabases", {}, "Databases")] == [20, 1]


def test_a_token_of_another_list_or_none_of_ours_is_invalid(server):
    for name in ("aaa", "bbb"):
        ok(server.call("CreateDatabase", {"DatabaseName": name}))
        for table in ("t-1", "t-2"):
            ok(server.call("CreateTable", {"DatabaseName": name, "TableName": table}))
    token = ok(server.call("ListTables", {"DatabaseName": "aaa", "MaxResults": 1}))["NextToken"]
    for operation, request in (
        ("ListTables", {"DatabaseName": "bbb", "NextToken": token}),
        ("ListTables", {"NextToken": token}),
        ("ListDatabases", {"NextToken": token}),
        ("ListTables", {"DatabaseName": "aaa", "NextToken": token[:-1]}),
        ("ListTables", {"DatabaseName": "aaa", "NextToken": "é"}),
        ("ListTables", {"DatabaseName": "aaa", "NextToken": "A"}),
    ):
        status, body = server.call(operation, request)
        assert (status, body["message"]) == (400, "Invalid pagination token")


def test_no_changed_token_opens():
    scope, key = ("ListTables", "d"), b"k" * 32
    token = tokens.seal(key, scope, ("d", "t"))
    assert tokens.unseal(key, scope, token) == ("d", "t")
    accepted = set()
    for place in range(len(token)):
        for letter in "ABab01-_":
            changed = token[:place] + letter + token[place + 1 :]
            # The last letter has bits that mean nothing, so some changes to it are none.
            with suppress(Invalid):
                accepted.add(tokens.unseal(key, scope, changed))
    assert accepted == {("d", "t")}


def test_endpoints_are_the_host_that_was_signed(server):
    body = ok(server.call("DescribeEndpoints", {}))
    address = f"http://127.0.0.1:{server.address[1]}"
    assert body == {"Endpoints": [{"Address": address, "CachePeriodInMinutes": 1440}]}


def test_written_records_are_counted_and_rejected_ones_listed(server):
    ok(server.call("CreateDatabase", {"DatabaseName": "metrics"}))
    ok(server.call("CreateTable", {"DatabaseName": "metrics", "TableName": "cpu"}))
    request = {"DatabaseName": "metrics", "TableName": "cpu", "Records": [{"MeasureName": "a"}] * 2}
    assert ok(server.call("WriteRecords", request)) == {
        "RecordsIngested": {"Total": 2, "MemoryStore": 2, "MagneticStore": 0}
    }
    request["Records"] = [{"MeasureName": "reject"}, {"MeasureName": "reject"}]
    status, body = server.call("WriteRecords", request)
    assert status == 419
    assert body["__type"] == "com.amazonaws.timestream.v20181101#RejectedRecordsException"
    assert body["RejectedRecords"] == [
        {"RecordIndex": 0, "Reason": "too old"},
        {"RecordIndex": 1, "Reason": "too old", "ExistingVersion": 200},
    ]


def test_a_query(server):
    body = ok(server.call("Query", {"QueryString": "SELECT 1"}))
    assert body == {
        "QueryId": "Q" * 63,
        "Rows": [{"Data": [{"ScalarValue": "1"}]}],
        "ColumnInfo": [{"Name": "_col0", "Type": {"ScalarType": "BIGINT"}}],
        "QueryStatus": {
            "ProgressPercentage": 100.0,
            "CumulativeBytesScanned": 0,
            "CumulativeBytesMetered": 10000000,
        },
    }
    assert ok(server.call("Query", {"QueryString": "SELECT 1", "MaxRows": 1}))["NextToken"] == "more"


UNKNOWN = "com.amazon.coral.service#UnknownOperationException"


def test_order_of_checks_each_step_hides_the_next(server):
    wrong = {"secret": "wrong"}
    not_json, bad_shape = b"{", {"DatabaseName": "a b"}
    assert server.call("Nonsense", not_json, **wrong) == (404, {"__type": UNKNOWN})
    assert server.call("CreateDatabase", not_json, **wrong)[1]["__type"].endswith("#InvalidSignatureException")
    assert server.call("CreateDatabase", not_json)[1]["__type"].endswith("#SerializationException")
    assert server.call("CreateTable", bad_shape)[1]["__type"] == "com.amazon.coral.validate#ValidationException"
    missing = {"DatabaseName": "nowhere", "TableName": "none", "Records": [{}]}
    assert server.call("WriteRecords", missing)[1]["message"] == "The database nowhere does not exist."


def test_without_signatures_anyone_on_this_machine_is_served(tmp_path):
    with running(make_instance(tmp_path, insecure_dev="true")) as server:
        assert server.call("ListDatabases", {}, secret="wrong") == (200, {"Databases": []})
        with server.connect() as client:
            client.send(
                b"POST / HTTP/1.1\r\nX-Amz-Target: Timestream_20181101.ListDatabases\r\nContent-Length: 2\r\n\r\n{}"
            )
            assert client.answer().json == {"Databases": []}
            client.send(
                b"POST / HTTP/1.1\r\nX-Amz-Target: Timestream_20181101.DescribeEndpoints\r\nContent-Length: 2\r\n\r\n{}"
            )
            assert "Host" in client.answer().json["message"]
