"""`/metrics` of a live server: what stock clients did is counted there."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from support.server import ServerProcess
from support.stock import Table, record


def scraped(server: ServerProcess) -> dict[tuple[str, str], float]:
    """By the name of a sample and its values of labels, in order of their names."""
    with urllib.request.urlopen(f"{server.endpoint}/metrics") as answer:
        text = answer.read().decode()
    return {
        (sample.name, " ".join(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_clients_do_is_counted(server: ServerProcess, table: Table) -> None:
    before = scraped(server)
    table.put(record("1.5"), record("2.5", Dimensions=[{"Name": "host", "Value": "b"}]))
    assert table.query.query(QueryString="SELECT 1")["Rows"]
    after = scraped(server)

    def grown(*key: str) -> float:
        return after[key[0], key[1]] - before.get((key[0], key[1]), 0)

    assert grown("headwater_records_ingested_total", "WriteRecords MEMORY") == 2
    assert grown("headwater_requests_total", " WriteRecords 200") == 1
    assert grown("headwater_queries_ended_total", "succeeded") == 1
    assert grown("headwater_log_appends_total", "") >= 1
    assert after["headwater_log_bytes", ""] > 0
    assert after["headwater_memtable_bytes", ""] > 0
    assert after["headwater_disk_free_bytes", ""] > 0
    assert after["headwater_disk_low", ""] == 0
    assert after["process_resident_memory_bytes", ""] > 0
