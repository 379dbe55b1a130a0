"""The rows of all settings: name, default, unit, what a text must be, and what the manual says.

`config.py` reads the values; the command line and the manual are made from the rows. A checker takes a text and gives
the value, or raises ValueError with the rule, to be read after "is not".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater.model.limits import Limits

BUDGET_LEAST_MB, QUERY_LEAST_MB = 8, 64


@dataclass(frozen=True, slots=True)
class BlockPlace:
    """A bucket of the object store, and what all our keys in it begin with: empty, or without outer slashes."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def key(self, name: str) -> str:
        """The key of an object of ours."""
        return f"{self.prefix}/{name}" if self.prefix else name


def whole(minimum: int, maximum: int) -> Callable[[str], int]:
    """A parser of integers in a closed range."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not minimum <= int(text) <= maximum:
            raise ValueError(f"a whole number from {minimum} to {maximum}")
        return int(text)

    return parse


def seconds(minimum: float, maximum: float) -> Callable[[str], float]:
    """A parser of durations in seconds in a closed range; a fraction is allowed."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not minimum <= float(text) <= maximum:
            raise ValueError(f"a number of seconds from {minimum:g} to {maximum:g}")
        return float(text)

    return parse


def matching(pattern: str, rule: str) -> Callable[[str], str]:
    """A parser of texts that match all of `pattern`; `rule` says in words what that means."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(rule)
        return text

    return parse


def yes_or_no(text: str) -> bool:
    """`true` or `false`, nothing else: an environment variable set to `0` must not switch a safeguard off."""
    if text not in ("true", "false"):
        raise ValueError("true or false")
    return text == "true"


def path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError("a path")
    return Path(text).expanduser().absolute()


def optional_path(text: str) -> Path | None:
    return path(text) if text else None


def optional_url(text: str) -> str | None:
    """`scheme://host[:port]` and nothing behind it; an IPv6 address stands in brackets."""
    if not text:
        return None
    found = re.fullmatch(r"(https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::([0-9]{1,5}))?)/?", text)
    if not found or int(found[2] or 1) not in range(1, 65_536):
        raise ValueError("http://HOST, https://HOST or one of them with :PORT")
    return found[1]


def optional_page(text: str) -> str | None:
    """An `optional_url` with a path and a query behind it, if you like; only characters that stand in requests."""
    head, slash, rest = text.partition("://")
    host, _, path = rest.partition("/")
    if not text:
        return None
    try:
        optional_url(f"{head}{slash}{host}")
    except ValueError as error:
        raise ValueError("http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH") from error
    if not re.fullmatch(r"[A-Za-z0-9._~:/?@!$&'()*+,;=%-]*", path):
        raise ValueError("an address whose path has only characters of RFC 3986; others are written %XX")
    return text


def optional_store(text: str) -> str | None:
    """An `optional_url`, or `file:///FOLDER` with an absolute path."""
    if text.startswith("file:///") and len(text) > len("file:///"):
        return text
    try:
        return optional_url(text)
    except ValueError as error:
        raise ValueError("file:///FOLDER, http://HOST or https://HOST, the last two also with :PORT") from error


def optional_place(text: str) -> BlockPlace | None:
    """`s3://BUCKET` or `s3://BUCKET/PREFIX`; the prefix may end in a slash, and has no characters that need quoting."""
    if not text:
        return None
    found = re.fullmatch(
        r"s3://([a-z0-9][.a-z0-9-]{1,61}[a-z0-9])(?:/([A-Za-z0-9_-]+(?:[/.][A-Za-z0-9_-]+)*)?/?)?", text
    )
    if not found:
        raise ValueError("s3://BUCKET or s3://BUCKET/PREFIX, of letters, digits, -, _, . and / in the prefix")
    return BlockPlace(found[1], found[2] or "")


def master_key(text: str) -> bytes | Path | str | None:
    """As `KeySettings.master_key`. The faults do not repeat the text, which may be a key."""
    if text == "file":
        return None
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    if text.startswith("file:/"):
        return Path(text.removeprefix("file:"))
    found = re.fullmatch(r"kms:(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]{1,100})", text)
    if not found:
        raise ValueError("file, file:/PATH, kms:ARN of a key, or a key as 64 hexadecimal digits")
    return found[1]


def optional_address(text: str) -> tuple[str, int] | None:
    return address(text) if text else None


def address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`; an IPv6 address stands in brackets."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+)):([0-9]{1,5})", text)
    if not found or int(found[3]) > 65_535:
        raise ValueError("HOST:PORT with a port from 0 to 65535")
    return found[1] or found[2], int(found[3])


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: `default` is a text like any other source's; `unit` is shown to the reader; `room` groups the manual."""

    name: str
    default: str
    unit: str
    parse: Callable[[str], Any]
    help: str
    room: str
    is_secret: bool = False

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "HEADWATER_" + self.name.upper()


LIMITS = (
    ("databases", "databases", 10**6, "Most databases there can be."),
    ("tables", "tables", 10**7, "Most tables there can be, in all databases together."),
    ("future_minutes", "minutes", 10**6, "How far ahead of the server's clock a record's time may be."),
    ("dimensions_per_table", "dimensions", 10**4, "Most dimensions a table can have."),
    ("measure_names_per_table", "names", 10**7, "Most measure names a table can have."),
    ("attributes_per_table", "attributes", 10**5, "Most attributes the multi-measure records of a table can have."),
    ("measures_per_record", "values", 10**4, "Most values one multi-measure record can have."),
    ("dimension_name_bytes", "bytes", 10**4, "Longest name of a dimension, in UTF-8."),
    ("measure_name_bytes", "bytes", 10**4, "Longest name of a measure or an attribute, in UTF-8."),
    ("dimension_bytes", "bytes", 10**6, "Names and values of all dimensions of one record together, in UTF-8."),
    ("record_bytes", "bytes", 10**6, "Measure values of one record together: texts in UTF-8, 8 a number, 1 a boolean."),
)
"""The limits that can be set: a field of `Limits`, which has the default, its unit, what it can be set to, and help.

Limits that the service's model states as constraints of a member, as 100 records in a request, are none of these.
"""

SETTINGS = (
    Setting("data", "headwater-data", "folder", path, "Folder of all data; made at first start.", "server"),
    Setting(
        "listen",
        "127.0.0.1:8739",
        "HOST:PORT",
        address,
        "Address to answer on. Port 0 picks a free one.",
        "server",
    ),
    Setting(
        "tls_certificate",
        "",
        "file",
        optional_path,
        "PEM file of the TLS certificate and its chain; with it the server speaks HTTPS only.",
        "server",
    ),
    Setting("tls_key", "", "file", optional_path, "PEM file of the certificate's private key.", "server"),
    Setting(
        "plain_http",
        "false",
        "true or false",
        yes_or_no,
        "Allow plain HTTP on an address beyond loopback: anyone on the way can read and repeat requests.",
        "server",
    ),
    Setting(
        "insecure_dev",
        "false",
        "true or false",
        yes_or_no,
        "Accept any signature. For development, on a loopback address only.",
        "server",
    ),
    Setting(
        "region",
        "us-east-1",
        "name",
        matching(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "lower-case letters, digits and inner hyphens, at most 63"),
        "Region that clients sign for and that stands in ARNs.",
        "server",
    ),
    Setting(
        "account",
        "000000000000",
        "12 digits",
        matching(r"[0-9]{12}", "12 digits"),
        "Account that owns the databases and stands in ARNs.",
        "server",
    ),
    Setting(
        "roles",
        "",
        "folder",
        optional_path,
        "Folder of policies, NAME.json for the role NAME: scheduled queries may do what their roles may. Without it "
        "they may do everything.",
        "server",
    ),
    Setting(
        "public_address",
        "",
        "URL",
        optional_url,
        "Address for DescribeEndpoints to answer when clients come through a proxy; without it the host they called.",
        "server",
    ),
    Setting(
        "cell_endpoints",
        "false",
        "true or false",
        yes_or_no,
        "Answer DescribeEndpoints as AWS does, ingest-cell1 or query-cell1.timestream.REGION.amazonaws.com, for "
        "clients whose name service leads these names here; needs TLS.",
        "server",
    ),
    Setting(
        "metrics_listen",
        "",
        "HOST:PORT",
        optional_address,
        "Address of its own for /metrics, unsigned; without one, the server answers /metrics to its own machine only.",
        "server",
    ),
    Setting(
        "clock_skew_s",
        "300",
        "seconds",
        whole(1, 86_400),
        "How far a signature's date may be from the server's clock.",
        "server",
    ),
    Setting(
        "body_limit_mb", "4", "MiB", whole(1, 64), "Largest request body; a larger one is refused unread.", "server"
    ),
    Setting(
        "connections",
        "1000",
        "connections",
        whole(1, 100_000),
        "Client connections at once; more are closed at once.",
        "server",
    ),
    Setting(
        "log_level",
        "info",
        "debug, info, warning or error",
        matching(r"debug|info|warning|error", "debug, info, warning or error"),
        "Least severe line written to standard error.",
        "server",
    ),
    Setting(
        "log_segment_mb", "64", "MiB", whole(1, 1024), "Size at which a segment of the write-ahead log ends.", "wal"
    ),
    Setting(
        "log_limit_mb",
        "256",
        "MiB",
        whole(2, 65_536),
        "Log size at which memory is flushed, which bounds the next start; at least twice log_segment_mb.",
        "storage",
    ),
    Setting(
        "flush_age_s",
        "600",
        "seconds",
        seconds(0.1, 86_400),
        "Longest time a record waits in memory before it is written to a block.",
        "storage",
    ),
    Setting(
        "memory_mb",
        "0",
        "MiB",
        whole(0, 16_777_216),
        "Memory for records, queries and caches together: four times memory_budget_mb, twice query_memory_mb, "
        "block_cache_mb and decoded_cache_mb. The first two, where they are not set, share what the caches leave; 0 "
        "means that there is no total.",
        "storage",
    ),
    Setting(
        "memory_budget_mb",
        "256",
        "MiB",
        whole(BUDGET_LEAST_MB, 1_048_576),
        "Memory for records not yet in a block; beyond it they are flushed early, and at four times as much they are "
        "refused until they are.",
        "storage",
    ),
    Setting(
        "block_target_mb",
        "256",
        "MiB",
        whole(1, 4096),
        "Size that the blocks of a day are merged to in the background; larger ones are left as they are.",
        "storage",
    ),
    Setting(
        "disk_low_percent",
        "5",
        "percent",
        whole(0, 50),
        "Part of the disk that must be free for records to be taken, if it is more than disk_low_mb.",
        "storage",
    ),
    Setting(
        "disk_low_mb",
        "512",
        "MiB",
        whole(64, 1_048_576),
        "Space that must be free for records to be taken. Above it and one percent of the disk they are taken again.",
        "storage",
    ),
    Setting(
        "scrub_mb_s",
        "10",
        "MiB a second",
        whole(1, 10_000),
        "How fast blocks are read in the background to verify their hashes.",
        "storage",
    ),
    Setting(
        "scrub_days",
        "7",
        "days",
        whole(1, 365),
        "How often all blocks are verified; they also are after each start.",
        "storage",
    ),
    Setting(
        "block_cache_mb",
        "64",
        "MiB",
        whole(1, 1_048_576),
        "Memory for parts of blocks that were read last, decrypted.",
        "storage",
    ),
    Setting(
        "decoded_cache_mb",
        "256",
        "MiB",
        whole(0, 1_048_576),
        "Memory for columns of blocks that queries read last, decoded; 0 keeps none. With memory_mb, and unless it is "
        "set, at most an eighth of that.",
        "storage",
    ),
    Setting("query_timeout_s", "3600", "seconds", seconds(0.1, 86_400), "Longest run of one query.", "query"),
    Setting(
        "query_memory_mb",
        "1024",
        "MiB",
        whole(QUERY_LEAST_MB, 1_048_576),
        "Memory for all running queries together; as much again holds results that are read page by page.",
        "query",
    ),
    Setting(
        "query_concurrency",
        "0",
        "queries",
        whole(0, 1024),
        "Queries that run at once, others wait; 0 means twice the number of processors.",
        "query",
    ),
    Setting(
        "threads",
        "0",
        "threads",
        whole(0, 1024),
        "Threads of the query engine; 0 means the number of processors.",
        "query",
    ),
    Setting(
        "object_store",
        "",
        "URL",
        optional_store,
        "Where buckets are: an S3-compatible endpoint, or file:///FOLDER whose folders are the buckets. Without it "
        "nothing is read from or written to buckets.",
        "objects",
    ),
    Setting(
        "object_store_region",
        "us-east-1",
        "name",
        matching(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "lower-case letters, digits and inner hyphens, at most 63"),
        "Region that requests to the object store are signed for.",
        "objects",
    ),
    Setting(
        "object_store_credentials",
        "",
        "file",
        optional_path,
        "AWS shared-credentials file whose [default] keys sign requests to the object store; without it they go "
        "unsigned.",
        "objects",
    ),
    Setting(
        "block_store",
        "",
        "s3://BUCKET/PREFIX",
        optional_place,
        "Bucket of object_store that holds the blocks, and what their keys begin with, for one data folder only. "
        "Without it they are in the data folder.",
        "objects",
    ),
    Setting(
        "block_cache_disk_mb",
        "4096",
        "MiB",
        whole(0, 1_073_741_824),
        "Space in the data folder for parts of blocks that were read last from block_store.",
        "objects",
    ),
    Setting(
        "sns_endpoint",
        "",
        "URL",
        optional_url,
        "SNS-compatible endpoint that notifications of scheduled queries are published to; without it they are written "
        "to the log.",
        "notifications",
    ),
    Setting(
        "sns_credentials",
        "",
        "file",
        optional_path,
        "AWS shared-credentials file whose [default] keys sign requests to sns_endpoint.",
        "notifications",
    ),
    Setting(
        "webhook_url",
        "",
        "URL",
        optional_page,
        "Address that each notification is posted to, in the form in which SNS calls its HTTP subscribers.",
        "notifications",
    ),
    Setting(
        "master_key",
        "file",
        "file, file:/PATH, kms:ARN or 64 hexadecimal digits",
        master_key,
        "Where the master key is that encrypts all data: master.key in the data folder or another file, made at first "
        "start; an AWS-KMS-compatible service; or the key itself, not as a flag. Without it the data cannot be read.",
        "keys",
        is_secret=True,
    ),
    Setting(
        "kms_endpoint",
        "",
        "URL",
        optional_url,
        "Address of the key service that master_key names; without it AWS's own in the region of the ARN.",
        "keys",
    ),
    Setting(
        "kms_credentials",
        "",
        "file",
        optional_path,
        "AWS shared-credentials file whose [default] keys sign requests to the key service; it may change at any time.",
        "keys",
    ),
    *(
        Setting(name, str(getattr(Limits(), name)), unit, whole(1, maximum), text, "limits")
        for name, unit, maximum, text in LIMITS
    ),
)
"""Units named MiB are 2^20 bytes. An empty default means: none."""
