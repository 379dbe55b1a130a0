"""The address that DescribeEndpoints answers, for each way in which clients use it. Source: write-api.md 1.5."""

from __future__ import annotations

import pytest

from headwater.config import ServerSettings, load
from headwater.errors import Invalid
from headwater.server.endpoints import address_for, service_hosts
from support.serving import make_instance, running

TLS = {"tls_certificate": "/c.pem", "tls_key": "/k.pem"}
BOTO3 = "Boto3/1.40.0 md/Botocore#1.40.0 ua/2.1 os/linux md/arch#x86_64 lang/python#3.11.2"
CLI = "aws-cli/1.42.0 md/Botocore#1.40.0 ua/2.1 os/linux lang/python#3.11.2"
GO = "aws-sdk-go-v2/1.36.3 ua/2.1 os/linux lang/go#1.24 md/GOOS#linux api/timestreamwrite#1.30.0"
JAVASCRIPT_2 = "aws-sdk-nodejs/2.1692.0 linux/v20.18.0 promise"
JAVASCRIPT_3 = "aws-sdk-js/3.750.0 ua/2.1 os/linux lang/js md/nodejs#20.18.0 api/timestream-write#3.750.0 m/E"
JAVA_1 = "aws-sdk-java/1.12.780 Linux/6.1 OpenJDK_64-Bit_Server_VM/17"
JAVA_2 = "aws-sdk-java/2.30.1 md/io#sync md/http#Apache ua/2.1 os/Linux lang/java#17"
KOTLIN = "aws-sdk-kotlin/1.4.0 ua/2.1 api/timestream-query#1.4.0 os/linux lang/kotlin#2.1"
RUST = "aws-sdk-rust/1.3.3 os/linux lang/rust/1.84.0"
GO_1 = "aws-sdk-go/1.55.8 (go1.24; linux; amd64)"
DOTNET = "aws-sdk-dotnet-coreclr/3.7.400.30 ua/2.0 os/linux lang/.NET_Core#8.0 md/ClientSync"
RUBY = "aws-sdk-ruby3/3.211.0 ua/2.1 api/timestream_write#1.40.0 os/linux lang/ruby#3.3.0"
PHP = "aws-sdk-php/3.336.2 OS/Linux#6.1 lang/php#8.3 GuzzleHttp/7"
CPP = "aws-sdk-cpp/1.11.480 ua/2.1 api/Timestream_Write#1.11.480 os/Linux#6.1 lang/c++#C++17"
SOTO = "Soto/6.0"


def settings(**flags: str) -> ServerSettings:
    return load(flags, {}, None, processors=1).server


@pytest.mark.parametrize("agent", ["", BOTO3, CLI, GO, GO_1, JAVASCRIPT_2, DOTNET, RUBY])
def test_most_clients_get_the_host_they_called_as_a_url(agent: str) -> None:
    assert address_for(settings(), "127.0.0.1:8739", agent) == "http://127.0.0.1:8739"
    assert address_for(settings(**TLS), "db.example.com", agent) == "https://db.example.com"
    assert address_for(settings(), "[::1]:80", agent) == "http://[::1]:80"


@pytest.mark.parametrize("agent", [JAVASCRIPT_3, JAVA_2, KOTLIN, PHP])
def test_clients_that_replace_the_host_name_get_nothing_else(agent: str) -> None:
    assert address_for(settings(), "127.0.0.1:8739", agent) == "127.0.0.1"
    assert address_for(settings(**TLS), "db.example.com", agent) == "db.example.com"
    assert address_for(settings(public_address="https://db.example.com:8443"), "10.0.0.1:80", agent) == "db.example.com"


@pytest.mark.parametrize("agent", [JAVA_1, CPP, RUST, SOTO])
def test_a_client_that_puts_a_scheme_before_it_gets_none(agent: str) -> None:
    assert address_for(settings(**TLS), "db.example.com:8443", agent) == "db.example.com:8443"
    assert address_for(settings(**TLS), "db.example.com", agent) == "db.example.com"


def test_behind_a_proxy_clients_get_the_public_address_whatever_they_called() -> None:
    server = settings(public_address="https://db.example.com:8443")
    assert address_for(server, "10.0.0.1:8739", BOTO3) == "https://db.example.com:8443"
    assert address_for(server, "not a host", BOTO3) == "https://db.example.com:8443"
    assert address_for(server, "10.0.0.1:8739", RUST) == "db.example.com:8443"


def test_cells_have_the_names_of_the_service() -> None:
    server = settings(cell_endpoints="true", region="eu-west-1", **TLS)
    ingest, query = "ingest-cell1.timestream.eu-west-1.amazonaws.com", "query-cell1.timestream.eu-west-1.amazonaws.com"
    assert address_for(server, "ingest.timestream.eu-west-1.amazonaws.com", BOTO3) == ingest
    assert address_for(server, "query.timestream.eu-west-1.amazonaws.com", BOTO3) == query
    assert address_for(server, query, JAVA_2) == query
    assert address_for(server, "query.timestream.eu-west-1.amazonaws.com:8443", GO) == f"{query}:8443"
    assert address_for(server, "query.timestream.eu-west-1.amazonaws.com:8443", JAVASCRIPT_3) == query


@pytest.mark.parametrize("called", ["timestream-query.us-east-1.api.aws", "QUERY.timestream.us-east-1.amazonaws.com"])
def test_a_cell_is_of_the_service_that_was_called_by_whatever_name(called: str) -> None:
    server = settings(cell_endpoints="true", **TLS)
    assert address_for(server, called, BOTO3) == "query-cell1.timestream.us-east-1.amazonaws.com"
    called = called.lower().replace("query", "ingest")
    assert address_for(server, called, BOTO3) == "ingest-cell1.timestream.us-east-1.amazonaws.com"


def test_the_hosts_that_clients_call_of_themselves() -> None:
    assert service_hosts("eu-west-1") == (
        "ingest.timestream.eu-west-1.amazonaws.com",
        "query.timestream.eu-west-1.amazonaws.com",
        "ingest-cell1.timestream.eu-west-1.amazonaws.com",
        "query-cell1.timestream.eu-west-1.amazonaws.com",
    )
    assert service_hosts("cn-north-1")[0] == "ingest.timestream.cn-north-1.amazonaws.com.cn"


@pytest.mark.parametrize("host", ["", "a b", "http://x", "x:123456", "x/../y", "<script>"])
def test_what_is_no_host_is_not_repeated(host: str) -> None:
    with pytest.raises(Invalid, match="Host header"):
        address_for(settings(), host, BOTO3)


def test_over_http_the_agent_is_read_from_both_headers(tmp_path) -> None:
    with running(make_instance(tmp_path, insecure_dev="true")) as server, server.connect() as client:
        for name in ("User-Agent", "X-Amz-User-Agent"):
            head = f"POST / HTTP/1.1\r\nHost: here:1\r\n{name}: {JAVASCRIPT_3}\r\n"
            target = "X-Amz-Target: Timestream_20181101.DescribeEndpoints\r\nContent-Length: 2\r\n\r\n{}"
            client.send((head + target).encode())
            assert client.answer().json == {"Endpoints": [{"Address": "here", "CachePeriodInMinutes": 1440}]}
