"""Telegraf, the agent itself, writes here; what Grafana's data source for Timestream asks is answered as it reads it.

Telegraf's tests are slow: `make clients` builds the agent first. The data source is a Go module that the module proxy
does not give out, so its own code is not run: the queries are those that it sends, and what is held of the answers is
what it relies on. Source: its public code, versions 1 and 2.
"""

from __future__ import annotations

import json
import re
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.programs import telegraf
from support.server import ServerProcess
from support.stock import Table, dimensions, instant, record, rows

DOCUMENT = Path(__file__).parents[2] / "docs" / "clients.md"

MULTI_TABLE = {"mapping_mode": "multi-table"}
SINGLE_TABLE = {"mapping_mode": "single-table", "single_table_name": "everything"}
SINGLE_MEASURES: dict[str, object] = {"use_multi_measure_records": False}
MULTI_MEASURES: dict[str, object] = {"use_multi_measure_records": True}

Agent = Callable[..., str]


def documented() -> dict[str, object]:
    """The output as docs/clients.md configures it."""
    (snippet,) = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (output,) = tomllib.loads(snippet)["outputs"]["timestream"]
    return output


@pytest.fixture
def agent(pytestconfig: pytest.Config, server: ServerProcess, database: str, tmp_path: Path) -> Agent:
    """Runs Telegraf once over lines of its line protocol; what it logs. None for a setting leaves it out."""
    assert pytestconfig.cache is not None
    program = telegraf(pytestconfig.cache)

    def run(lines: list[str], settings: dict[str, object], **variables: str) -> str:
        here = {
            "endpoint_url": server.endpoint,
            "shared_credential_file": str(server.data / "credentials"),
            "database_name": database,
        }
        output = {**documented(), **here, **settings}
        metrics, configuration = tmp_path / "metrics", tmp_path / "telegraf.conf"
        metrics.write_text("".join(f"{line}\n" for line in lines))
        # Telegraf rounds times to seconds unless told not to.
        configuration.write_text(
            '[agent]\nomit_hostname = true\nprecision = "1ns"\nmetric_batch_size = 5000\n'
            f'[[inputs.file]]\nfiles = ["{metrics}"]\ndata_format = "influx"\n[[outputs.timestream]]\n'
            + "".join(f"{name} = {json.dumps(value)}\n" for name, value in output.items() if value is not None)
            + 'create_table_tags = { team = "red", site = "north" }\n'
        )
        done = server.run(*program, "--config", str(configuration), "--once", **variables)
        assert done.returncode == 0, done.stderr
        return done.stderr

    return run


@pytest.mark.slow
class TestTelegraf:
    def test_as_documented(self, agent: Agent, write: Any, query: Any, database: str) -> None:
        """A table for each measurement, which the agent makes, and a multi-measure record for each of its points."""
        now_ns = time.time_ns()
        lines = [
            f'cpu,host=a idle=99.5,procs=3i,up=true,note="é \\"x\\"" {now_ns}',
            f"cpu,host=b idle=0.1 {now_ns}",
            f"mem,host=a total=18446744073709551615u {now_ns}",
        ]
        assert " E! " not in agent(lines, {})
        assert rows(query, f"SELECT host, time, idle, procs, up, note FROM {database}.cpu ORDER BY host") == [
            ("a", instant(now_ns), "99.5", "3", "true", 'é "x"'),
            ("b", instant(now_ns), "0.1", None, None, None),
        ]
        # Telegraf itself cuts what does not fit.
        assert rows(query, f"SELECT total FROM {database}.mem") == [(str(2**63 - 1),)]
        table = write.describe_table(DatabaseName=database, TableName="cpu")["Table"]
        assert table["RetentionProperties"] == {
            "MemoryStoreRetentionPeriodInHours": 24,
            "MagneticStoreRetentionPeriodInDays": 365,
        }
        tags = write.list_tags_for_resource(ResourceARN=table["Arn"])["Tags"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "red", "site": "north"}

    @pytest.mark.parametrize(
        ("settings", "text", "found"),
        [
            (
                {**MULTI_TABLE, **SINGLE_MEASURES, "measure_name_for_multi_measure_records": None},
                "SELECT host, measure_name, measure_value::double, measure_value::bigint FROM {}.cpu",
                [("a", "idle", "99.5", None), ("a", "procs", None, "3")],
            ),
            (
                {**SINGLE_TABLE, **MULTI_MEASURES, "measure_name_for_multi_measure_records": None},
                "SELECT host, measure_name, idle, procs, used FROM {}.everything",
                [("a", "cpu", "99.5", "3", None), ("a", "mem", None, None, "1")],
            ),
            (
                {
                    **SINGLE_TABLE,
                    **SINGLE_MEASURES,
                    "measure_name_for_multi_measure_records": None,
                    "single_table_dimension_name_for_telegraf_measurement_name": "measurement",
                },
                "SELECT measurement, measure_name, measure_value::double, measure_value::bigint FROM {}.everything",
                [("cpu", "idle", "99.5", None), ("cpu", "procs", None, "3"), ("mem", "used", None, "1")],
            ),
        ],
        ids=["a table each, a record each", "one table, multi-measure", "one table, a record each"],
    )
    def test_other_mappings(
        self, agent: Agent, query: Any, database: str, settings: dict[str, object], text: str, found: list[Any]
    ) -> None:
        now_ns = time.time_ns()
        assert " E! " not in agent(
            [f"cpu,host=a idle=99.5,procs=3i {now_ns}", f"mem,host=a used=1i {now_ns}"], settings
        )
        assert sorted(rows(query, text.format(database)), key=str) == found

    def test_many_writers_at_once_and_the_same_again(self, agent: Agent, query: Any, database: str) -> None:
        """Thirty requests, each of which finds no table and would make it; and a batch that the agent sends twice."""
        now_ns = time.time_ns()
        lines = [f"load,host=h{number % 7} number={number}i {now_ns - number}" for number in range(3_000)]
        for _ in range(2):
            assert " E! " not in agent(lines, {"max_write_go_routines": 30})
            counts = "count(*), count(DISTINCT number), count(DISTINCT time), count(DISTINCT host)"
            assert rows(query, f"SELECT {counts} FROM {database}.load") == [("3000", "3000", "3000", "7")]

    def test_what_is_rejected_is_told_and_the_rest_stored(self, agent: Agent, query: Any, database: str) -> None:
        now_ns = time.time_ns()
        told = agent(["load,host=a one=1i 1000000000000000000", f"load,host=a one=2i {now_ns}"], {})
        assert re.search(
            r'reject reason: "The record timestamp is outside the time range .*", record index: \'0\'', told
        )
        assert rows(query, f"SELECT one FROM {database}.load") == [("2",)]

    def test_with_nothing_but_an_endpoint_variable(
        self, agent: Agent, server: ServerProcess, query: Any, database: str
    ) -> None:
        """The agent then asks for an endpoint and goes where the answer says."""
        unset = {"endpoint_url": None, "shared_credential_file": None}
        assert " E! " not in agent(["load,host=a one=1i"], unset, AWS_ENDPOINT_URL=server.endpoint)
        assert rows(query, f"SELECT one FROM {database}.load") == [("1",)]


class DataSource:
    """What the data source sends for the panels of a table: its macros put in, and page after page of the same text."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.to_ms = time.time_ns() // 1_000_000 + 60_000
        self.from_ms = self.to_ms - 6 * 3_600_000
        self._macros = {
            "$__timeFilter": f"time BETWEEN from_milliseconds({self.from_ms}) AND from_milliseconds({self.to_ms})",
            "$__timeFrom": str(self.from_ms),
            "$__timeTo": str(self.to_ms),
            "$__interval_raw_ms": "60000",
            "$__interval_ms": "60000ms",
            "$__database": f'"{table.database}"',
            "$__table": f'"{table.name}"',
            "$__measure": "load",
        }

    def pages(self, text: str) -> list[dict[str, Any]]:
        for macro, meaning in self._macros.items():
            text = text.replace(macro, meaning)
        answers = [self.table.query.query(QueryString=text)]
        while token := answers[-1].get("NextToken"):
            answers.append(self.table.query.query(QueryString=text, NextToken=token))
        return answers

    def rows(self, text: str) -> list[list[dict[str, Any]]]:
        return [row["Data"] for page in self.pages(text) for row in page["Rows"]]

    def first_column(self, text: str) -> list[str]:
        """The choices of an editor's field, or of a variable of a dashboard."""
        return [row[0]["ScalarValue"] for row in self.rows(text)]


@pytest.fixture
def grafana(table: Table) -> DataSource:
    """Hosts a and b with three loads each, a minute apart and at its start, newest last; and a state of host a."""
    start_ms = (time.time_ns() // 60_000_000_000 - 4) * 60_000
    table.put(
        *(
            record(str(minute + place), Dimensions=dimensions(host=host), Time=str(start_ms + minute * 60_000))
            for place, host in enumerate("ab")
            for minute in range(3)
        ),
        record("down", kind="VARCHAR", measure="state", Dimensions=dimensions(host="a", site="x"), Time=str(start_ms)),
    )
    return DataSource(table)


class TestGrafana:
    def test_the_connection(self, grafana: DataSource) -> None:
        assert grafana.rows("SELECT 1") == [[{"ScalarValue": "1"}]]

    def test_the_fields_of_the_editor(self, grafana: DataSource) -> None:
        assert grafana.table.database in grafana.first_column("SHOW DATABASES")
        assert grafana.first_column("SHOW TABLES FROM $__database") == ["records"]
        assert grafana.first_column("SHOW MEASURES FROM $__database.$__table") == ["load", "state"]
        names = [
            [each["RowValue"]["Data"][0]["ScalarValue"] for each in row[2]["ArrayValue"]]
            for row in grafana.rows("SHOW MEASURES FROM $__database.$__table")
        ]
        assert names == [["host"], ["host", "site"]]
        columns = ["host", "site", "measure_name", "time", "measure_value::double", "measure_value::varchar"]
        assert grafana.first_column("DESCRIBE $__database.$__table") == columns
        assert len(grafana.rows("SELECT * FROM $__database.$__table LIMIT 10")) == 7

    def test_a_table(self, grafana: DataSource) -> None:
        (page,) = grafana.pages(
            "SELECT bin(time, $__interval_ms) AS binned_time, avg(measure_value::double) AS mean,\n"
            "  count(*) * $__interval_raw_ms AS width\n"
            "FROM $__database.$__table\nWHERE $__timeFilter\n  AND measure_name = '$__measure'\n"
            "GROUP BY bin(time, $__interval_ms)\nORDER BY binned_time ASC"
        )
        found = [(column["Name"], column["Type"]["ScalarType"]) for column in page["ColumnInfo"]]
        assert found == [("binned_time", "TIMESTAMP"), ("mean", "DOUBLE"), ("width", "BIGINT")]
        assert [row["Data"][1]["ScalarValue"] for row in page["Rows"]] == ["0.5", "1.5", "2.5"]
        assert page["QueryStatus"].keys() == {"ProgressPercentage", "CumulativeBytesScanned", "CumulativeBytesMetered"}

    def test_a_range_of_its_own(self, grafana: DataSource) -> None:
        text = "SELECT count(*) FROM $__database.$__table WHERE time {} from_milliseconds($__time{})"
        assert grafana.first_column(text.format(">=", "From")) == ["7"]
        assert grafana.first_column(text.format(">", "To")) == ["0"]

    def test_time_series(self, grafana: DataSource) -> None:
        """A row is a series: its scalars are labels, its points have times and values. One without points is NULL."""
        (page,) = grafana.pages(
            "SELECT host, CREATE_TIME_SERIES(time, measure_value::double) AS load FROM $__database.$__table\n"
            "WHERE $__timeFilter AND measure_name = '$__measure'\n"
            "GROUP BY host, site\nORDER BY AVG(measure_value::double) DESC\nLIMIT 3"
        )
        inner = page["ColumnInfo"][1]["Type"]["TimeSeriesMeasureValueColumnInfo"]
        assert inner["Type"] == {"ScalarType": "DOUBLE"}
        values = [
            (host["ScalarValue"], *(point["Value"]["ScalarValue"] for point in series["TimeSeriesValue"]))
            for host, series in (row["Data"] for row in page["Rows"])
        ]
        assert values == [("b", "1.0", "2.0", "3.0"), ("a", "0.0", "1.0", "2.0")]
        none = "SELECT CREATE_TIME_SERIES(time, measure_value::double) FROM $__database.$__table WHERE host = 'c'"
        assert grafana.rows(none) == [[{"NullValue": True}]]

    def test_a_state_as_a_number_for_an_alert(self, grafana: DataSource) -> None:
        (row,) = grafana.rows(
            "SELECT host, CREATE_TIME_SERIES(time,\n    CASE measure_value::varchar WHEN 'down' THEN 1.0 ELSE 0.0 END\n"
            "  ) AS health\nFROM $__database.$__table\nWHERE $__timeFilter\n  AND measure_name = 'state'\nGROUP BY host"
        )
        assert [point["Value"]["ScalarValue"] for point in row[1]["TimeSeriesValue"]] == ["1.0"]

    def test_variables(self, grafana: DataSource) -> None:
        text = "SELECT DISTINCT host FROM $__database.$__table WHERE host IN ('a','b') AND $__timeFilter ORDER BY host"
        assert grafana.first_column(text) == ["a", "b"]

    def test_all_pages(self, grafana: DataSource) -> None:
        """With "wait for all queries", and without: every page has the columns and the id that a cancel would name."""
        pages = grafana.pages(
            "SELECT a.*, rpad('', 4000, 'x') AS wide FROM $__database.$__table a\n"
            "CROSS JOIN UNNEST(sequence(1, 100)) AS t(n)"
        )
        assert len(pages) > 1
        assert sum(len(page["Rows"]) for page in pages) == 700
        assert len({page["QueryId"] for page in pages}) == 1
        assert all(page["ColumnInfo"] == pages[0]["ColumnInfo"] for page in pages)
        with pytest.raises(ClientError, match="is not running"):
            grafana.table.query.cancel_query(QueryId=pages[0]["QueryId"])
