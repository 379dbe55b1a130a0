"""The service's limits, as one value that is handed around. Defaults: write-api.md 8, reliability.md 5."""

from __future__ import annotations

from dataclasses import dataclass, field

from headwater.model.batch_load import BatchLoadLimits


@dataclass(frozen=True, slots=True)
class Limits:
    """Counts are of things, sizes of UTF-8 bytes unless the name says characters."""

    databases: int = 500
    tables: int = 50_000
    scheduled_queries: int = 10_000
    future_minutes: int = 15
    records_per_request: int = 100
    dimensions_per_table: int = 128
    measure_names_per_table: int = 8_192
    attributes_per_table: int = 1_024
    measures_per_record: int = 256
    dimension_name_bytes: int = 60
    measure_name_bytes: int = 256
    dimension_bytes: int = 2_048
    record_bytes: int = 2_048
    request_body_bytes: int = 4 * 1024 * 1024
    header_bytes: int = 16 * 1024
    header_lines: int = 100
    json_depth: int = 32
    sql_characters: int = 262_144
    sql_tokens: int = 20_000
    sql_depth: int = 100
    sql_compile_s: float = 2.0
    page_bytes: int = 1_000_000
    result_bytes: int = 5_000_000_000
    sequence_elements: int = 10_000
    batch_load: BatchLoadLimits = field(default_factory=BatchLoadLimits)

    def __hash__(self) -> int:
        """Of little, because it is asked for with every request: a process has one of these, or few in tests."""
        return self.dimension_bytes
