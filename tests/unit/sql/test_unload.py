"""UNLOAD as a plan: its query, its target and its options. Faults are in tests/sql/unload.slt. Source: sql.md 4.7."""

from __future__ import annotations

import pytest
from sql_world import plan, query_plan

from headwater.sql.compile import UnloadOptions, UnloadPlan, UnloadTarget

QUERY = "SELECT time, hostname FROM ops.metrics"


def unload(target: str, options: str = "") -> UnloadPlan:
    made = plan(f"UNLOAD ({QUERY}) TO '{target}' {options}")
    assert isinstance(made, UnloadPlan)
    return made


def test_the_query_is_compiled_as_if_it_stood_alone() -> None:
    assert unload("s3://bucket/a").query == query_plan(QUERY)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("s3://bucket", UnloadTarget("bucket", "")),
        ("s3://bucket/", UnloadTarget("bucket", "")),
        ("s3://my.bucket-1/a/b c/", UnloadTarget("my.bucket-1", "a/b c")),
        ("s3://point-abc-s3alias/a", UnloadTarget("point-abc-s3alias", "a")),
    ],
)
def test_a_target_is_a_bucket_and_a_folder(target: str, expected: UnloadTarget) -> None:
    assert unload(target).target == expected


def test_the_defaults_are_the_services() -> None:
    options = unload("s3://bucket/a").options
    assert options == UnloadOptions((), "CSV", "GZIP", "SSE_S3", None, ",", "\\", False, 78 * 2**30)


def test_every_option_is_read() -> None:
    options = unload(
        "s3://bucket/a",
        "WITH (partitioned_by = ARRAY['hostname'], format = 'csv', compression = 'none', encryption = 'SSE_KMS',"
        " kms_key = 'k', field_delimiter = '|', escaped_by = '''', include_header = 'TRUE', max_file_size = '1.5GB')",
    ).options
    assert options == UnloadOptions(("hostname",), "CSV", "NONE", "SSE_KMS", "k", "|", "'", True, 3 * 2**29)
