"""Notifications: what an SNS topic (moto's) and a webhook are sent, and what becomes of those that nobody takes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from structlog.testing import capture_logs

from headwater.config import NotificationSettings
from headwater.errors import Invalid
from headwater.files import LocalFiles
from headwater.jobs import messages
from headwater.jobs.notify import TRIES, WAITING_MOST, Channel, Notifications, Webhook, channels_of
from headwater.model.scheduled_query import (
    ErrorReportConfiguration,
    ExecutionStats,
    ReportLocation,
    Run,
    RunStatus,
    ScheduledQuery,
    State,
)
from headwater.model.time import NS_PER_S, FixedClock
from headwater.rights.roles import Roles

REGION = "eu-west-1"
NOW_NS = 1_704_067_800_000_000_000
CREDENTIALS = "[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = se%cret\n"
FREE = Roles(LocalFiles(), None, REGION, "123456789012")
"""All may do everything."""

ARN = "arn:aws:timestream:eu-west-1:123456789012:scheduled-query/q-0123456789ab"


def query(topic_arn: str = f"arn:aws:sns:{REGION}:123456789012:t") -> ScheduledQuery:
    report = ErrorReportConfiguration("errors")
    return ScheduledQuery(ARN, "q", "SELECT 1", "rate(1 minute)", topic_arn, "role", report, 0)


def notifications(*channels: Channel) -> tuple[Notifications, FixedClock]:
    clock, numbers = FixedClock(NOW_NS), count(1)
    return Notifications(channels, clock, lambda: str(next(numbers))), clock


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def client(service: str, endpoint: str) -> Any:
    return boto3.client(
        service, endpoint_url=endpoint, region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b"
    )


class Receiver:
    """A webhook that answers with `statuses` one after the other, then 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.headers: dict[str, str] = {}
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                receiver.paths.append(self.path)
                receiver.headers = dict(self.headers)
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.channel = Webhook(f"http://127.0.0.1:{self.server.server_port}/hook?key=1")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_a_topic_gets_the_message_with_its_attributes(endpoint: str) -> None:
    sns, sqs = client("sns", endpoint), client("sqs", endpoint)
    topic = sns.create_topic(Name="t")["TopicArn"]
    queue = sqs.create_queue(QueueName="q")["QueueUrl"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:123456789012:q")
    sent, _ = notifications(*channels_of(NotificationSettings(endpoint, None, None), "us-east-1", CREDENTIALS, FREE))
    run = Run(
        60,
        61_500,
        RunStatus.AUTO_TRIGGER_FAILURE,
        ExecutionStats(1, 2_048, 3, 4, 5, 6),
        ReportLocation("errors", "key"),
        "reason & é",
    )
    sent.send(messages.finished(query(topic), run, 120))
    sent.run()
    (got,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    body = json.loads(got["Body"])
    assert body["TopicArn"] == topic
    assert {name: value["Value"] for name, value in body["MessageAttributes"].items()} == {
        "queryArn": ARN,
        "notificationType": "AUTO_TRIGGER_FAILURE",
    }
    assert json.loads(body["Message"]) == {
        "type": "AUTO_TRIGGER_FAILURE",
        "arn": ARN,
        "nextInvocationEpochSecond": 120,
        "scheduledQueryRunSummary": {
            "invocationEpochSecond": 60,
            "triggerTimeMillis": 61_500,
            "runStatus": "AUTO_TRIGGER_FAILURE",
            "executionStats": {
                "executionTimeInMillis": 1,
                "dataWrites": 2_048,
                "bytesMetered": 3,
                "cumulativeBytesScanned": 4,
                "recordsIngested": 5,
                "queryResultRows": 6,
            },
            "errorReportLocation": {"s3ReportLocation": {"bucketName": "errors", "objectKey": "key"}},
            "failureReason": "reason & é",
        },
    }
    assert (sent.delivered, sent.failed) == (1, 0)


def test_a_topic_that_does_not_exist_is_given_up_at_once(endpoint: str) -> None:
    sent, _ = notifications(*channels_of(NotificationSettings(endpoint, None, None), REGION, CREDENTIALS, FREE))
    sent.send(messages.created(query(f"arn:aws:sns:{REGION}:123456789012:missing")))
    with capture_logs() as logs:
        sent.run()
    (line,) = logs
    assert (line["event"], line["reason"][:4]) == ("notification given up", "404 ")
    assert "se%cret" not in repr(logs)
    assert (sent.delivered, sent.failed) == (0, 1)


def test_a_webhook_gets_what_http_subscribers_get(receiver: Receiver) -> None:
    sent, _ = notifications(receiver.channel)
    with capture_logs() as logs:
        sent.send(messages.updated(query()))
    sent.run()
    assert receiver.paths == ["/hook?key=1"]
    assert receiver.headers["Content-Type"] == "application/json"
    assert receiver.bodies == [
        {
            "Type": "Notification",
            "MessageId": "1",
            "TopicArn": f"arn:aws:sns:{REGION}:123456789012:t",
            "Message": json.dumps(
                {"type": "SCHEDULED_QUERY_UPDATED", "arn": ARN, "state": State.ENABLED.value}, separators=(",", ":")
            ),
            "Timestamp": "2024-01-01T00:10:00.000Z",
            "MessageAttributes": {
                "queryArn": {"Type": "String", "Value": ARN},
                "notificationType": {"Type": "String", "Value": "SCHEDULED_QUERY_UPDATED"},
            },
        }
    ]
    # Without a topic to publish to, the log has it too.
    assert [line["event"] for line in logs] == ["notification"]


def test_what_is_not_taken_is_sent_again_later_and_later(receiver: Receiver) -> None:
    receiver.statuses = [500, 429]
    sent, clock = notifications(receiver.channel)
    sent.send(messages.deleted(query()))
    for seconds in (0, 1, 0, 1, 1, 1):
        clock.advance(seconds * NS_PER_S)
        sent.run()
    assert len(receiver.bodies) == 3
    assert {body["MessageId"] for body in receiver.bodies} == {"1"}
    assert (sent.delivered, sent.failed) == (1, 0)


def test_a_receiver_out_of_reach_is_given_up_after_some_tries() -> None:
    sent, clock = notifications(Webhook("http://127.0.0.1:1/"))
    sent.send(messages.deleted(query()))
    for _ in range(TRIES):
        assert sent.failed == 0
        sent.run()
        clock.advance(3_600 * NS_PER_S)
    assert sent.failed == 1


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.statuses = [302]
    sent, _ = notifications(receiver.channel)
    sent.send(messages.deleted(query()))
    sent.run()
    assert (receiver.paths, sent.failed) == (["/hook?key=1"], 1)


def test_what_waits_is_bounded_and_told_at_the_end() -> None:
    sent, _ = notifications(Webhook("http://127.0.0.1:1/"))
    for _ in range(WAITING_MOST + 2):
        sent.send(messages.deleted(query()))
    assert sent.failed == 2
    with capture_logs() as logs:
        sent.stop()
    assert [line["event"] for line in logs] == WAITING_MOST * ["notification not delivered"]
    sent.run()
    assert sent.failed == 2


def test_a_receiver_that_never_answers_does_not_hold_up_the_end() -> None:
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    sent, _ = notifications(Webhook(f"http://127.0.0.1:{server.server_port}/"))
    sent.send(messages.deleted(query()))
    thread = threading.Thread(target=sent.run)
    thread.start()
    server.socket.accept()
    sent.stop()
    thread.join(2)
    assert not thread.is_alive()
    server.server_close()


def test_what_a_role_may_not_publish_is_not_sent_to_its_topic(
    receiver: Receiver, endpoint: str, tmp_path: Path
) -> None:
    sns = client("sns", endpoint)
    told, other = (sns.create_topic(Name=name)["TopicArn"] for name in ("told", "other"))
    allow = {"Effect": "Allow", "Action": "sns:Publish", "Resource": told}
    (tmp_path / "runs.json").write_text(json.dumps({"Statement": allow}))
    roles = Roles(LocalFiles(), tmp_path, REGION, "123456789012")
    (channel,) = channels_of(NotificationSettings(endpoint, None, None), REGION, CREDENTIALS, roles)
    sent, _ = notifications(channel, receiver.channel)
    for topic in (other, told):
        sent.send(messages.created(replace(query(topic), role_arn="arn:aws:iam::123456789012:role/runs")))
    with capture_logs() as logs:
        sent.run()
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("notification given up", "error")
    assert f"is not authorized to perform: sns:Publish on resource: {other} because" in line["reason"]
    # The other message, and the webhook, which is the operator's own, are told in the same round.
    assert [body["TopicArn"] for body in receiver.bodies] == [other, told]
    assert (sent.delivered, sent.failed) == (3, 1)


def test_credentials_without_keys_stop_the_start() -> None:
    with pytest.raises(Invalid, match="sns_credentials"):
        channels_of(NotificationSettings("http://127.0.0.1:1", None, None), REGION, "[other]\n", FREE)
