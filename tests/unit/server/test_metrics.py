"""`/metrics`: what it tells, in which form, to whom; and what never stands in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headwater.config import load
from headwater.errors import Invalid
from headwater.server.metrics import METRICS, Metrics
from support.serving import FACTS, SECRET, Client, Running, make_instance, running

SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"
WRITE = {"DatabaseName": "db1", "TableName": "secret-table", "Records": [{"MeasureName": "secret-measure"}]}

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Running]:
    """A server with a listener for metrics."""
    with running(make_instance(tmp_path, metrics_listen="127.0.0.1:0")) as started:
        yield started


def scraped(client: Client, request: bytes = SCRAPE) -> Samples:
    client.send(request)
    answer = client.answer()
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples_of(answer.body.decode())


def samples_of(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_requests_are_counted_by_operation_status_and_fault(server: Running) -> None:
    for text in ("SELECT 1", "SELECT 1", "nonsense"):
        server.call("Query", {"QueryString": text})
    server.call("Query", {"QueryString": "SELECT 1"}, secret="wrong")
    server.call("WriteRecords", WRITE)
    server.call("NoSuchOperation", {})
    with server.connect() as client:
        found = scraped(client)
    counts = {labels: value for (name, labels), value in found.items() if name == "headwater_requests_total"}
    assert {tuple(value for _, value in labels): count for labels, count in counts.items()} == {
        ("", "Query", "200"): 2,
        ("ValidationException", "Query", "400"): 1,
        ("InvalidSignatureException", "Query", "400"): 1,
        ("ResourceNotFoundException", "WriteRecords", "404"): 1,
        ("UnknownOperationException", "other", "404"): 1,
    }
    query = (("operation", "Query"),)
    assert found["headwater_request_duration_seconds_count", query] == 4
    assert found["headwater_request_duration_seconds_bucket", (("le", "+Inf"), *query)] == 4


def test_bytes_that_are_no_request_are_counted(server: Running) -> None:
    with server.connect() as broken:
        broken.send(b"nonsense\r\n\r\n")
        assert broken.answer().status == 400
    with server.connect() as client:
        found = scraped(client)
    labels = (("fault", "SerializationException"), ("operation", "other"), ("status", "400"))
    assert found["headwater_requests_total", labels] == 1


def test_every_row_is_told_with_its_number() -> None:
    metrics = Metrics(lambda: FACTS)
    found = samples_of(metrics.text().decode())
    for row in METRICS:
        for values, number in row.samples(FACTS):
            assert found.pop((row.name, tuple(sorted(zip(row.labels, values, strict=True))))) == number
    others = {name for name, _ in found}
    assert all(name.startswith("process_") for name in others)
    assert others >= {"process_resident_memory_bytes", "process_cpu_seconds_total"}


def test_durations_fall_below_their_bounds() -> None:
    metrics = Metrics(lambda: FACTS)
    for duration_s in (0.001, 0.0011, 70.0):
        metrics.count("Query", 200, "", duration_s)
    found = samples_of(metrics.text().decode())
    bounds = {
        dict(labels)["le"]: count
        for (name, labels), count in found.items()
        if name == "headwater_request_duration_seconds_bucket"
    }
    assert (bounds["0.001"], bounds["0.0025"], bounds["60.0"], bounds["+Inf"]) == (1, 2, 2, 3)
    assert found["headwater_request_duration_seconds_sum", (("operation", "Query"),)] == pytest.approx(70.0021)


def test_no_name_text_or_secret_stands_in_it(server: Running) -> None:
    server.call("WriteRecords", WRITE)
    server.call("Query", {"QueryString": "SELECT 'secret-text'"})
    server.call("secret-operation", {})
    with server.connect() as client:
        client.send(SCRAPE)
        text = client.answer().body.decode()
    assert "secret" not in text
    assert SECRET not in text


@pytest.mark.parametrize("header", ["X-Forwarded-For: 10.0.0.9", "Forwarded: for=10.0.0.9", "Via: 1.1 proxy"])
def test_what_a_proxy_passes_on_is_refused(server: Running, header: str) -> None:
    with server.connect() as client:
        client.send(f"GET /metrics HTTP/1.1\r\nHost: h\r\n{header}\r\n\r\n".encode())
        answer = client.answer()
    assert (answer.status, answer.json["__type"].rpartition("#")[2]) == (403, "AccessDeniedException")
    assert "headwater_" not in answer.body.decode()


def test_metrics_can_have_an_address_of_their_own(apart: Running) -> None:
    own = apart.server.metrics_address
    assert own is not None
    with apart.connect() as client:
        client.send(SCRAPE)
        assert client.answer().status == 404
    assert apart.call("Query", {"QueryString": "SELECT 1"})[0] == 200
    address, apart.address = apart.address, own
    try:
        with apart.connect() as client:
            forwarded = b"GET /metrics HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.0.0.9\r\n\r\n"
            assert scraped(client, forwarded)["headwater_blocks", ()] == 3
            client.send(b"GET /ready HTTP/1.1\r\nHost: h\r\n\r\n")
            assert client.answer().status == 200
        status, body = apart.call("Query", {"QueryString": "SELECT 1"})
        assert (status, json.dumps(body).count("UnknownOperation")) == (404, 1)
    finally:
        apart.address = address


def test_an_address_beyond_loopback_needs_tls_or_the_flag() -> None:
    with pytest.raises(Invalid, match="metrics_listen"):
        load({"metrics_listen": "0.0.0.0:9100"}, {}, None, processors=1)
    found = load({"metrics_listen": "0.0.0.0:9100", "plain_http": "true"}, {}, None, processors=1)
    assert found.server.metrics == ("0.0.0.0", 9100)
