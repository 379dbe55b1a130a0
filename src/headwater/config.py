"""The settings of a server: those of `settings.py`, checked once at start.

`cli/serve` calls `load` with its flags, the environment and the settings file; `instance` hands each room its own
small frozen object. No room reads the environment. Flag, environment variable and file key derive from the name:
`flush_age_s` is `--flush-age-s`, `HEADWATER_FLUSH_AGE_S` and the key `flush_age_s` of a TOML file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from headwater.errors import Invalid
from headwater.model.limits import Limits
from headwater.settings import BUDGET_LEAST_MB, LIMITS, QUERY_LEAST_MB, SETTINGS, BlockPlace, Setting

MIB = 1024 * 1024

FULL_BUDGETS = 4
"""So many memory budgets of unflushed records, and writes wait for flushes that fail or fall behind."""

QUERY_SHARES = 2
"""So many times the memory of queries: the engine's own, and results that are kept for their next pages."""

DECODED_SHARES = 8
"""Of a total for memory decoded columns take one part in so many, unless they are set."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What the HTTP server needs. Both TLS files or neither; port 0 means any free one.

    `public_address` is `scheme://host` with or without a port; None means that clients call the server itself.
    """

    host: str
    port: int
    tls_certificate: Path | None
    tls_key: Path | None
    region: str
    account: str
    insecure_dev: bool
    clock_skew_s: int
    connections: int
    public_address: str | None
    cell_endpoints: bool
    metrics: tuple[str, int] | None = None
    """Host and port of metrics' own listener; None: metrics are told where all else is."""
    roles: Path | None = None
    """The folder with the policies of roles; None: every role may do everything."""

    @property
    def scheme(self) -> str:
        return "https" if self.tls_certificate else "http"


@dataclass(frozen=True, slots=True)
class WalSettings:
    """What the log needs: the size at which a segment ends and the next one begins."""

    segment_bytes: int


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """When records leave memory for blocks: by age, by bytes in memory, by bytes of log that replay would read.

    Then the size that blocks are merged to, how fast and how often all of them are read and verified, and the free
    space below which no records are taken: the larger of a part of the disk and a number of bytes.
    """

    flush_age_s: float
    memory_budget_bytes: int
    log_limit_bytes: int
    block_target_bytes: int = 256 * MIB
    scrub_bytes_per_s: float = 10 * MIB
    scrub_interval_s: float = 7 * 86_400
    disk_low_percent: int = 5
    disk_low_bytes: int = 512 * MIB
    decoded_cache_bytes: int = 0
    """For columns of blocks that queries read last."""


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """What one query may take, how many run at once, and the engine's threads and memory for all of them."""

    timeout_s: float
    memory_bytes: int
    concurrency: int
    threads: int


@dataclass(frozen=True, slots=True)
class ObjectSettings:
    """Where buckets are: `file:///FOLDER`, `http(s)://HOST[:PORT]` or nothing; and the keys for it."""

    url: str | None
    region: str
    credentials: Path | None


@dataclass(frozen=True, slots=True)
class BlockStoreSettings:
    """Where blocks are, None for the data folder; and how much of them is kept on the disk when they are elsewhere."""

    place: BlockPlace | None
    cache_bytes: int


@dataclass(frozen=True, slots=True)
class NotificationSettings:
    """Who is told about scheduled queries: an SNS-compatible endpoint with the keys for it, a webhook, or nobody."""

    sns_endpoint: str | None
    sns_credentials: Path | None
    webhook_url: str | None


@dataclass(frozen=True, slots=True)
class KeySettings:
    """Where the master key is: its 32 bytes, its file, the ARN of a key in a key service, or None for the file of the
    data folder. With an ARN there are an endpoint and credentials. Prints no secret.
    """

    master_key: bytes | Path | str | None = field(repr=False)
    kms_endpoint: str
    kms_credentials: Path | None
    cache_bytes: int
    """For what of blocks is kept decrypted."""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, checked. `data` is an absolute path; the folder may not exist yet."""

    data: Path
    log_level: str
    server: ServerSettings
    wal: WalSettings
    storage: StorageSettings
    query: QuerySettings
    objects: ObjectSettings
    block_store: BlockStoreSettings
    notifications: NotificationSettings
    keys: KeySettings
    limits: Limits


def load(flags: Mapping[str, str], environ: Mapping[str, str], file: Path | None, processors: int) -> Config:
    """The checked settings: a flag wins over the environment, that over the file, that over the default.

    `flags` holds texts by setting name. Raises Invalid naming the setting, where its value came from and the rule.
    """
    keys = _read_file(file) if file else {}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for setting in SETTINGS:
        text, source = _find(setting, flags, environ, keys, file)
        sources[setting.name] = source
        try:
            values[setting.name] = setting.parse(text)
        except ValueError as error:
            shown = "the value" if setting.is_secret else repr(text)
            raise _bad(setting.name, source, f"{shown} is not {error}") from error
    _check_together(values, sources)
    _share_memory(values, sources)
    return _config(values, processors)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. A name other than localhost is taken for a public one."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_file(file: Path) -> dict[str, str]:
    """The keys of a TOML file as texts. An unknown key is a fault: a misspelt one would go unnoticed for long."""
    try:
        found = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Invalid(f"Settings file {file} cannot be read: {error}") from error
    names = {setting.name for setting in SETTINGS}
    for key, value in found.items():
        if key not in names:
            raise Invalid(f"Settings file {file}: there is no setting {key!r}")
        if not isinstance(value, str | int | float):
            raise _bad(key, f"file {file}", "the value is not a text, a number, true or false")
    return {key: _text(value) for key, value in found.items()}


def _text(value: str | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _find(
    setting: Setting, flags: Mapping[str, str], environ: Mapping[str, str], keys: Mapping[str, str], file: Path | None
) -> tuple[str, str]:
    """The winning text of one setting, and where it came from.

    Unknown HEADWATER_ variables are no fault: service managers and container platforms set some of their own.
    """
    if setting.name in flags:
        return flags[setting.name], f"flag {setting.flag}"
    if setting.variable in environ:
        return environ[setting.variable], f"environment variable {setting.variable}"
    if setting.name in keys:
        return keys[setting.name], f"file {file}"
    return setting.default, "default"


def _bad(name: str, source: str, rule: str) -> Invalid:
    return Invalid(f"Setting {name} ({source}): {rule}")


def _check_together(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    """Rules over two settings. Raises Invalid for the one that has to give way."""
    host = values["listen"][0]
    if bool(values["tls_certificate"]) != bool(values["tls_key"]):
        given, missing = ("tls_certificate", "tls_key") if values["tls_certificate"] else ("tls_key", "tls_certificate")
        raise _bad(given, sources[given], f"{missing} must be set with it")
    if values["insecure_dev"] and not is_loopback(host):
        raise _bad("insecure_dev", sources["insecure_dev"], f"allowed on a loopback address only, not on {host}")
    if not (is_loopback(host) or values["tls_certificate"] or values["plain_http"]):
        rule = f"{host} is not a loopback address: set tls_certificate and tls_key, or plain_http to go without TLS"
        raise _bad("listen", sources["listen"], rule)
    metrics_host = (values["metrics_listen"] or ("localhost", 0))[0]
    if not (is_loopback(metrics_host) or values["tls_certificate"] or values["plain_http"]):
        rule = f"{metrics_host} is not a loopback address: set tls_certificate and tls_key, or plain_http"
        raise _bad("metrics_listen", sources["metrics_listen"], rule)
    if values["cell_endpoints"] and not values["tls_certificate"]:
        raise _bad(
            "cell_endpoints", sources["cell_endpoints"], "clients call these names by HTTPS: set tls_certificate"
        )
    if values["cell_endpoints"] and values["public_address"]:
        raise _bad("cell_endpoints", sources["cell_endpoints"], "public_address cannot be set with it")
    if isinstance(values["master_key"], bytes) and sources["master_key"].startswith("flag"):
        raise _bad("master_key", sources["master_key"], "every user of the machine sees a flag: use the environment")
    if isinstance(values["master_key"], str) and values["kms_credentials"] is None:
        raise _bad("master_key", sources["master_key"], "kms_credentials must be set with it")
    if bool(values["sns_endpoint"]) != bool(values["sns_credentials"]):
        given, missing = "sns_endpoint", "sns_credentials"
        if values[missing]:
            given, missing = missing, given
        raise _bad(given, sources[given], f"{missing} must be set with it")
    if values["block_store"] and not values["object_store"]:
        raise _bad("block_store", sources["block_store"], "object_store must be set with it")
    if values["log_limit_mb"] < 2 * values["log_segment_mb"]:
        name = max("log_limit_mb", "log_segment_mb", key=lambda n: sources[n] != "default")
        raise _bad(name, sources[name], "log_limit_mb must be at least twice log_segment_mb")


def _share_memory(values: dict[str, Any], sources: Mapping[str, str]) -> None:
    """Give records and queries, where they are not set, half each of what `memory_mb` and the caches leave them.

    Each is counted at its most: records when they are refused, queries with the results that are kept. So however it
    is used, the total holds. Raises Invalid if what is set does not fit into it.
    """
    if not values["memory_mb"]:
        return
    if sources["decoded_cache_mb"] == "default":
        values["decoded_cache_mb"] = min(values["decoded_cache_mb"], values["memory_mb"] // DECODED_SHARES)
    left = values["memory_mb"] - values["block_cache_mb"] - values["decoded_cache_mb"]
    is_set = {name for name in ("memory_budget_mb", "query_memory_mb") if sources[name] != "default"}
    if "query_memory_mb" not in is_set:
        of_records = FULL_BUDGETS * values["memory_budget_mb"] if "memory_budget_mb" in is_set else left // 2
        values["query_memory_mb"] = (left - of_records) // QUERY_SHARES
    if "memory_budget_mb" not in is_set:
        values["memory_budget_mb"] = (left - QUERY_SHARES * values["query_memory_mb"]) // FULL_BUDGETS
    budget, query = values["memory_budget_mb"], values["query_memory_mb"]
    if budget < BUDGET_LEAST_MB or query < QUERY_LEAST_MB or FULL_BUDGETS * budget + QUERY_SHARES * query > left:
        of_both = f"{FULL_BUDGETS} x memory_budget_mb and {QUERY_SHARES} x query_memory_mb"
        rule = f"block_cache_mb, decoded_cache_mb, {of_both} do not fit in"
        raise _bad("memory_mb", sources["memory_mb"], rule)


def _config(values: Mapping[str, Any], processors: int) -> Config:
    host, port = values["listen"]
    return Config(
        data=values["data"],
        log_level=values["log_level"],
        server=ServerSettings(
            host=host,
            port=port,
            tls_certificate=values["tls_certificate"],
            tls_key=values["tls_key"],
            region=values["region"],
            account=values["account"],
            insecure_dev=values["insecure_dev"],
            clock_skew_s=values["clock_skew_s"],
            connections=values["connections"],
            public_address=values["public_address"],
            cell_endpoints=values["cell_endpoints"],
            metrics=values["metrics_listen"],
            roles=values["roles"],
        ),
        wal=WalSettings(segment_bytes=values["log_segment_mb"] * MIB),
        storage=StorageSettings(
            flush_age_s=values["flush_age_s"],
            memory_budget_bytes=values["memory_budget_mb"] * MIB,
            log_limit_bytes=values["log_limit_mb"] * MIB,
            block_target_bytes=values["block_target_mb"] * MIB,
            decoded_cache_bytes=values["decoded_cache_mb"] * MIB,
            scrub_bytes_per_s=values["scrub_mb_s"] * MIB,
            scrub_interval_s=values["scrub_days"] * 86_400,
            disk_low_percent=values["disk_low_percent"],
            disk_low_bytes=values["disk_low_mb"] * MIB,
        ),
        query=QuerySettings(
            timeout_s=values["query_timeout_s"],
            memory_bytes=values["query_memory_mb"] * MIB,
            concurrency=values["query_concurrency"] or 2 * processors,
            threads=values["threads"] or processors,
        ),
        objects=ObjectSettings(
            url=values["object_store"],
            region=values["object_store_region"],
            credentials=values["object_store_credentials"],
        ),
        block_store=BlockStoreSettings(
            place=values["block_store"],
            cache_bytes=values["block_cache_disk_mb"] * MIB,
        ),
        notifications=NotificationSettings(
            sns_endpoint=values["sns_endpoint"],
            sns_credentials=values["sns_credentials"],
            webhook_url=values["webhook_url"],
        ),
        keys=KeySettings(
            master_key=values["master_key"],
            kms_endpoint=values["kms_endpoint"] or _kms_endpoint(values["master_key"]),
            kms_credentials=values["kms_credentials"],
            cache_bytes=values["block_cache_mb"] * MIB,
        ),
        limits=Limits(request_body_bytes=values["body_limit_mb"] * MIB, **{name: values[name] for name, *_ in LIMITS}),
    )


def _kms_endpoint(master_key: bytes | Path | str | None) -> str:
    """AWS's own key service in the region of a key's ARN; nothing where no service is needed."""
    if not isinstance(master_key, str):
        return ""
    region = master_key.split(":")[3]
    return f"https://kms.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
