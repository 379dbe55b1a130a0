"""docs/metrics.md names what `/metrics` answers. After a change: `.venv/bin/python tests/docs/test_metrics_page.py`."""

from __future__ import annotations

from pathlib import Path

from headwater.server.metrics import LATENCY, METRICS, REQUESTS, described, table_rows

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

HEAD = f"""# Metrics

<!-- Made from `server/metrics.METRICS` by tests/docs/{Path(__file__).name}: change the rows there, run that file. -->

`GET /metrics` answers in the text format of Prometheus. It needs no signature, so it is answered to the server's own
machine only, and not to what a proxy there passes on (a request with `Forwarded`, `Via`, `X-Forwarded-For` or
`X-Real-IP`). The setting `metrics_listen` gives metrics an address of their own, where whoever can reach it may read
them: over HTTPS with `tls_certificate` if it is not a loopback address. `/health` and `/ready` are answered there too.

No metric has the name of a database, a table, a query or a host, a value, a text of a client or a secret. Counters
count since the start of the process unless they say otherwise. Where Amazon Timestream publishes the same number in
CloudWatch, the help of the metric says under which name; labels are those of the table below, not CloudWatch's.

```yaml
# prometheus.yml, on the same machine
scrape_configs:
  - job_name: headwater
    static_configs: [{{targets: ["127.0.0.1:8739"]}}]
```

Worth an alarm: `headwater_disk_low`, `headwater_damaged_blocks` and `headwater_log_failed` above 0; a rise of
`headwater_storage_failures_total` or `headwater_job_failures_total`; a `headwater_memtable_age_seconds` far above
the setting `flush_age_s`.

| metric | type | labels | meaning |
| --- | --- | --- | --- |
"""

TAIL = """
The process itself is told as by every client of Prometheus: `process_cpu_seconds_total`,
`process_resident_memory_bytes`, `process_virtual_memory_bytes`, `process_open_fds`, `process_max_fds` and
`process_start_time_seconds`.
"""


def page() -> str:
    rows = "".join(
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels) or 'none'} | {help} |\n"
        for name, kind, labels, help in table_rows()
    )
    return HEAD + rows + TAIL


def test_the_page_is_made_from_the_metrics() -> None:
    assert PAGE.read_text("utf-8") == page(), f"run: .venv/bin/python tests/docs/{Path(__file__).name}"


def test_every_metric_is_on_the_page_once() -> None:
    text = page()
    names = [REQUESTS, LATENCY, *(row.name for row in METRICS)]
    assert len(set(names)) == len(names)
    assert all(text.count(f"| `{name}` |") == 1 for name in names)


def test_names_end_as_their_kind_wants() -> None:
    """A counter ends in `_total`, a gauge does not; help is a sentence."""
    assert all(row.name.endswith("_total") is (row.kind == "counter") for row in METRICS)
    assert all(described(row.help, row.cloudwatch).endswith(".") for row in METRICS)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
