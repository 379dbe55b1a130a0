"""Settings: which source wins, every bad value with its message, and rules over two settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from headwater.config import Config, ServerSettings, is_loopback, load
from headwater.errors import Invalid
from headwater.settings import SETTINGS

BAD = {
    "databases": ("0", "'0' is not a whole number from 1 to 1000000"),
    "tables": ("all", "'all' is not a whole number from 1 to 10000000"),
    "future_minutes": ("-15", "'-15' is not a whole number from 1 to 1000000"),
    "dimensions_per_table": ("10001", "'10001' is not a whole number from 1 to 10000"),
    "measure_names_per_table": ("8k", "'8k' is not a whole number from 1 to 10000000"),
    "attributes_per_table": ("0", "'0' is not a whole number from 1 to 100000"),
    "measures_per_record": ("", "'' is not a whole number from 1 to 10000"),
    "dimension_name_bytes": ("1.5", "'1.5' is not a whole number from 1 to 10000"),
    "measure_name_bytes": ("10001", "'10001' is not a whole number from 1 to 10000"),
    "dimension_bytes": ("2 KB", "'2 KB' is not a whole number from 1 to 1000000"),
    "record_bytes": ("0x800", "'0x800' is not a whole number from 1 to 1000000"),
    "block_store": (
        "s3://b",
        "'s3://b' is not s3://BUCKET or s3://BUCKET/PREFIX, of letters, digits, -, _, . and / in the prefix",
    ),
    "block_cache_disk_mb": ("-1", "'-1' is not a whole number from 0 to 1073741824"),
    "data": ("", "'' is not a path"),
    "object_store": (
        "ftp://host",
        "'ftp://host' is not file:///FOLDER, http://HOST or https://HOST, the last two also with :PORT",
    ),
    "object_store_region": ("Us East", "'Us East' is not lower-case letters, digits and inner hyphens, at most 63"),
    "object_store_credentials": ("a\0b", "is not a path"),
    "sns_endpoint": ("sns", "'sns' is not http://HOST, https://HOST or one of them with :PORT"),
    "sns_credentials": ("a\0b", "is not a path"),
    "roles": ("a\0b", "is not a path"),
    "webhook_url": ("ftp://host/x", "'ftp://host/x' is not http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH"),
    "listen": ("localhost", "'localhost' is not HOST:PORT with a port from 0 to 65535"),
    "tls_certificate": ("a\0b", "is not a path"),
    "tls_key": ("a\0b", "is not a path"),
    "plain_http": ("1", "'1' is not true or false"),
    "insecure_dev": ("yes", "'yes' is not true or false"),
    "region": ("Us East", "'Us East' is not lower-case letters, digits and inner hyphens, at most 63"),
    "account": ("12345678901", "'12345678901' is not 12 digits"),
    "clock_skew_s": ("0", "'0' is not a whole number from 1 to 86400"),
    "body_limit_mb": ("4.5", "'4.5' is not a whole number from 1 to 64"),
    "connections": ("-1", "'-1' is not a whole number from 1 to 100000"),
    "log_level": ("INFO", "'INFO' is not debug, info, warning or error"),
    "log_segment_mb": ("0", "'0' is not a whole number from 1 to 1024"),
    "log_limit_mb": ("1", "'1' is not a whole number from 2 to 65536"),
    "flush_age_s": ("nan", "'nan' is not a number of seconds from 0.1 to 86400"),
    "memory_mb": ("1G", "'1G' is not a whole number from 0 to 16777216"),
    "memory_budget_mb": ("²", "'²' is not a whole number from 8 to 1048576"),
    "query_timeout_s": ("86401", "'86401' is not a number of seconds from 0.1 to 86400"),
    "block_target_mb": ("0", "'0' is not a whole number from 1 to 4096"),
    "disk_low_percent": ("51", "'51' is not a whole number from 0 to 50"),
    "disk_low_mb": ("63", "'63' is not a whole number from 64 to 1048576"),
    "block_cache_mb": ("0", "'0' is not a whole number from 1 to 1048576"),
    "decoded_cache_mb": ("-1", "a whole number from 0 to 1048576"),
    "master_key": ("secret", "not file, file:/PATH, kms:ARN of a key, or a key as 64 hexadecimal digits"),
    "kms_endpoint": ("kms", "'kms' is not http://HOST, https://HOST or one of them with :PORT"),
    "kms_credentials": ("a\0b", "is not a path"),
    "scrub_mb_s": ("0", "'0' is not a whole number from 1 to 10000"),
    "scrub_days": ("366", "'366' is not a whole number from 1 to 365"),
    "query_memory_mb": ("63", "'63' is not a whole number from 64 to 1048576"),
    "query_concurrency": ("", "'' is not a whole number from 0 to 1024"),
    "public_address": ("ftp://x", "'ftp://x' is not http://HOST, https://HOST or one of them with :PORT"),
    "cell_endpoints": ("1", "'1' is not true or false"),
    "metrics_listen": ("localhost", "'localhost' is not HOST:PORT with a port from 0 to 65535"),
    "threads": ("many", "'many' is not a whole number from 0 to 1024"),
}


def loaded(file: Path | None = None, environ: dict[str, str] | None = None, **flags: str) -> Config:
    return load(flags, environ or {}, file, processors=3)


def settings_file(directory: Path, text: str) -> Path:
    file = directory / "headwater.toml"
    file.write_text(text)
    return file


def test_the_defaults_are_good() -> None:
    config = loaded()
    assert config.data == Path.cwd() / "headwater-data"
    assert config.server == ServerSettings(
        host="127.0.0.1",
        port=8739,
        tls_certificate=None,
        tls_key=None,
        region="us-east-1",
        account="000000000000",
        insecure_dev=False,
        clock_skew_s=300,
        connections=1000,
        public_address=None,
        cell_endpoints=False,
    )
    assert config.wal.segment_bytes == 64 * 2**20
    assert config.storage.log_limit_bytes == 256 * 2**20
    assert (config.query.concurrency, config.query.threads) == (6, 3)
    assert config.limits.request_body_bytes == 4 * 2**20


def test_the_limits_of_the_service_are_the_defaults_and_each_can_be_set() -> None:
    """Source: write-api.md 8."""
    defaults = {
        "databases": 500,
        "tables": 50_000,
        "future_minutes": 15,
        "dimensions_per_table": 128,
        "measure_names_per_table": 8_192,
        "attributes_per_table": 1_024,
        "measures_per_record": 256,
        "dimension_name_bytes": 60,
        "measure_name_bytes": 256,
        "dimension_bytes": 2_048,
        "record_bytes": 2_048,
    }
    config = loaded()
    assert {name: getattr(config.limits, name) for name in defaults} == defaults
    assert {setting.name for setting in SETTINGS if setting.room == "limits"} == set(defaults)
    for name in defaults:
        assert getattr(loaded(**{name: "7"}).limits, name) == 7


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    file = settings_file(tmp_path, 'region = "file"\n')
    environ = {"HEADWATER_REGION": "environment"}
    assert loaded(file, environ, region="flag").server.region == "flag"
    assert loaded(file, environ).server.region == "environment"
    assert loaded(file).server.region == "file"
    assert loaded().server.region == "us-east-1"


def test_names_of_flag_and_variable_derive_from_the_name() -> None:
    setting = next(setting for setting in SETTINGS if setting.name == "flush_age_s")
    assert (setting.flag, setting.variable) == ("--flush-age-s", "HEADWATER_FLUSH_AGE_S")


def test_the_file_may_hold_texts_numbers_and_booleans(tmp_path: Path) -> None:
    file = settings_file(tmp_path, "flush_age_s = 0.5\nconnections = 7\ninsecure_dev = true\nlisten = '[::1]:0'\n")
    config = loaded(file)
    assert config.storage.flush_age_s == 0.5
    assert config.server.connections == 7
    assert config.server.insecure_dev
    assert (config.server.host, config.server.port) == ("::1", 0)


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS])
def test_a_bad_value_names_setting_source_and_rule(name: str, tmp_path: Path) -> None:
    value, rule = BAD[name]
    variable = f"HEADWATER_{name.upper()}"
    with pytest.raises(Invalid) as bad:
        loaded(environ={variable: value})
    assert bad.value.message.startswith(f"Setting {name} (environment variable {variable}): ")
    assert bad.value.message.endswith(rule)
    with pytest.raises(Invalid) as bad:
        loaded(**{name: value})
    assert bad.value.message.startswith(f"Setting {name} (flag --{name.replace('_', '-')}): ")


def test_a_bad_value_of_the_file_names_the_file(tmp_path: Path) -> None:
    file = settings_file(tmp_path, "threads = -1\n")
    with pytest.raises(Invalid) as bad:
        loaded(file)
    assert bad.value.message == f"Setting threads (file {file}): '-1' is not a whole number from 0 to 1024"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flush_age = 1", "there is no setting 'flush_age'"),
        ("threads = [1]", "Setting threads (file {file}): the value is not a text, a number, true or false"),
        ("threads", "cannot be read"),
    ],
)
def test_a_bad_file(tmp_path: Path, text: str, message: str) -> None:
    file = settings_file(tmp_path, text)
    with pytest.raises(Invalid) as bad:
        loaded(file)
    assert message.format(file=file) in bad.value.message


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        loaded(tmp_path / "nope.toml")


def test_other_variables_are_left_alone() -> None:
    assert loaded(environ={"HEADWATER_SERVICE_HOST": "10.0.0.1", "PATH": "/bin"}) == loaded()


@pytest.mark.parametrize(
    ("settings", "budget_mb", "query_mb"),
    [
        ({}, 256, 1_024),
        ({"memory_mb": "2112", "decoded_cache_mb": "0"}, 256, 512),
        ({"memory_mb": "2112", "decoded_cache_mb": "0", "block_cache_mb": "1088"}, 128, 256),
        ({"memory_mb": "2112", "decoded_cache_mb": "0", "query_memory_mb": "824"}, 100, 824),
        ({"memory_mb": "2112", "decoded_cache_mb": "0", "memory_budget_mb": "12"}, 12, 1_000),
        ({"memory_mb": "2112", "memory_budget_mb": "8", "query_memory_mb": "64"}, 8, 64),
        ({"memory_mb": "2112", "decoded_cache_mb": "1024"}, 128, 256),
        ({"memory_mb": "1024"}, 104, 208),
        ({"memory_mb": "2368"}, 256, 512),
    ],
)
def test_records_and_queries_share_what_the_total_leaves(
    settings: dict[str, str], budget_mb: int, query_mb: int
) -> None:
    config = loaded(**settings)
    assert (config.storage.memory_budget_bytes >> 20, config.query.memory_bytes >> 20) == (budget_mb, query_mb)


@pytest.mark.parametrize(
    "settings",
    [
        {"memory_mb": "300"},
        {"memory_mb": "2112", "block_cache_mb": "2112"},
        {"memory_mb": "2112", "query_memory_mb": "1024"},
        {"memory_mb": "2112", "memory_budget_mb": "512"},
        {"memory_mb": "2112", "memory_budget_mb": "257", "query_memory_mb": "512"},
    ],
)
def test_what_does_not_fit_into_the_total_is_a_fault(settings: dict[str, str]) -> None:
    with pytest.raises(Invalid, match=r"^Setting memory_mb \(flag --memory-mb\): .* do not fit in$"):
        loaded(**settings)


def test_tls_needs_both_files() -> None:
    with pytest.raises(Invalid, match=r"^Setting tls_certificate \(flag --tls-certificate\): tls_key must be set"):
        loaded(tls_certificate="cert.pem")
    with pytest.raises(Invalid, match=r"^Setting tls_key .*tls_certificate must be set"):
        loaded(tls_key="key.pem")


@pytest.mark.parametrize("listen", ["0.0.0.0:80", "[::]:80", "192.168.0.1:80", "example.com:80"])
def test_beyond_loopback_there_is_tls_or_a_clear_wish(listen: str) -> None:
    with pytest.raises(Invalid, match="set tls_certificate and tls_key, or plain_http"):
        loaded(listen=listen)
    assert loaded(listen=listen, plain_http="true").server.scheme == "http"
    assert loaded(listen=listen, tls_certificate="c", tls_key="k").server.scheme == "https"
    with pytest.raises(Invalid, match="allowed on a loopback address only"):
        loaded(listen=listen, plain_http="true", insecure_dev="true")


@pytest.mark.parametrize(("host", "expected"), [("127.9.9.9", True), ("::1", True), ("localhost", True), ("", False)])
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_the_log_limit_holds_two_segments() -> None:
    with pytest.raises(Invalid, match=r"^Setting log_segment_mb \(flag --log-segment-mb\): log_limit_mb must be at"):
        loaded(log_segment_mb="200")
    assert loaded(log_segment_mb="200", log_limit_mb="400").wal.segment_bytes == 200 * 2**20


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded().log_level = "debug"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", None),
        ("http://db", "http://db"),
        ("https://db.example.com:8443/", "https://db.example.com:8443"),
        ("https://[::1]:443", "https://[::1]:443"),
    ],
)
def test_a_public_address(text: str, address: str | None) -> None:
    assert loaded(public_address=text).server.public_address == address


@pytest.mark.parametrize("text", ["db.example.com", "https://", "https://db/path", "https://a@db", "https://db:65536"])
def test_what_is_no_public_address(text: str) -> None:
    with pytest.raises(Invalid, match="public_address"):
        loaded(public_address=text)


def test_cell_names_need_tls_and_no_other_address() -> None:
    tls = {"tls_certificate": "/c.pem", "tls_key": "/k.pem"}
    assert loaded(cell_endpoints="true", **tls).server.cell_endpoints
    with pytest.raises(Invalid, match=r"cell_endpoints \(flag --cell-endpoints\): clients call these names by HTTPS"):
        loaded(cell_endpoints="true")
    with pytest.raises(Invalid, match="public_address cannot be set with it"):
        loaded(cell_endpoints="true", public_address="https://db", **tls)


def test_a_webhook_is_an_address_with_a_path() -> None:
    for url in ("http://127.0.0.1:9/a/b?key=%20x", "https://hooks.example", "http://[::1]:8080/"):
        assert loaded(webhook_url=url).notifications.webhook_url == url
    for url in ("http://host:99999/", "http://user@host/", "http://host/a b", "http://host/\r\nX: y"):
        with pytest.raises(Invalid):
            loaded(webhook_url=url)


@pytest.mark.parametrize(
    ("given", "missing"), [("sns_endpoint", "sns_credentials"), ("sns_credentials", "sns_endpoint")]
)
def test_a_topic_needs_its_keys_and_keys_their_endpoint(given: str, missing: str) -> None:
    with pytest.raises(Invalid) as bad:
        loaded(**{given: "http://127.0.0.1:9"})
    assert bad.value.message == f"Setting {given} (flag --{given.replace('_', '-')}): {missing} must be set with it"


@pytest.mark.parametrize(
    ("text", "shown", "owner"),
    [
        ("s3://a-bucket", "s3://a-bucket", "owner"),
        ("s3://a-bucket/", "s3://a-bucket", "owner"),
        ("s3://a.bucket/one/Two_3.x/", "s3://a.bucket/one/Two_3.x", "one/Two_3.x/owner"),
    ],
)
def test_the_place_of_blocks_is_a_bucket_and_a_prefix(text: str, shown: str, owner: str) -> None:
    place = loaded(block_store=text, object_store="http://127.0.0.1:9").block_store.place
    assert place is not None
    assert (str(place), place.key("owner")) == (shown, owner)


@pytest.mark.parametrize("text", ["a-bucket", "s3://A-bucket", "s3://a-bucket//x", "s3://a-bucket/../x", "s3://a/b c"])
def test_what_is_no_place_of_blocks_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="s3://BUCKET"):
        loaded(block_store=text, object_store="http://127.0.0.1:9")


def test_blocks_in_a_bucket_need_an_object_store() -> None:
    with pytest.raises(Invalid, match=r"block_store .*: object_store must be set with it"):
        loaded(block_store="s3://a-bucket")
