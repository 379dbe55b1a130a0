"""Rows of functions on URLs. Source: Trino."""

from __future__ import annotations

from headwater.sql.signature import row

ROWS = (
    *(
        row(f"url_extract_{name}(varchar) -> varchar", f"arrow_url_{name}({{0}})", source="Trino")
        for name in ("protocol", "host", "path", "query", "fragment")
    ),
    row("url_extract_port(varchar) -> bigint", "arrow_url_port({0})", source="Trino"),
    row("url_extract_parameter(varchar, varchar) -> varchar", "arrow_url_parameter({0}, {1})", source="Trino"),
    row("url_encode(varchar) -> varchar", "arrow_url_encode({0})", source="Trino"),
    row("url_decode(varchar) -> varchar", "arrow_url_decode({0})", source="Trino"),
)
