"""The format of golden files: what is read is what stands there, and an answer written anew changes nothing else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.golden import BadGolden, Case, NewTable, Now, Write, cells, quoted, read_golden, unquoted, with_answers

PAGE = """\
# What this page is about.
now    1970-01-01T00:00:01Z
table  "my-db"."a.b"  memory=2h magnetic=3d
write  "my-db"."a.b"  host=a version=2  cpu:double  1970-01-01T00:00:00Z step 1s  1.5 -2
write  "my-db"."a.b"  measure_name=m
       time                            host   n:bigint  s:varchar
       1970-01-01T00:00:00.000000007Z  (empty)  1       two words
       1970-01-01T00:00:01Z            NULL     2       NULL

query
SELECT 1 AS one,
       'a  b' AS text
----
one:integer  text:varchar
1            "a \\u0020b"

notimpl for a reason
error ValidationException
SELECT nope
----
line 1:8: Column 'nope' does not exist
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.slt"
    path.write_text(PAGE)
    return path


def test_a_page_is_read_in_its_order(page: Path) -> None:
    now, table, single, multi, query, error = read_golden(page).steps
    assert now == Now(1_000_000_000)
    assert table == NewTable("my-db", "a.b", 2, 3)
    assert isinstance(single, Write)
    assert isinstance(multi, Write)
    assert [record["Time"] for record in single.records] == ["0", "1000000000"]
    assert single.records[1] == {
        "Dimensions": [{"Name": "host", "Value": "a"}],
        "MeasureName": "cpu",
        "MeasureValue": "-2",
        "MeasureValueType": "DOUBLE",
        "Time": "1000000000",
        "TimeUnit": "NANOSECONDS",
        "Version": 2,
    }
    assert multi.records[0]["Dimensions"] == [{"Name": "host", "Value": ""}]
    assert multi.records[1]["Dimensions"] == []
    assert multi.records[1]["MeasureValues"] == [{"Name": "n", "Type": "BIGINT", "Value": "2"}]
    assert isinstance(query, Case)
    assert (query.line, query.verb, query.mark) == (10, "query", None)
    assert query.text == "SELECT 1 AS one,\n       'a  b' AS text"
    assert query.answer == [["one:integer", "text:varchar"], ["1", '"a \\u0020b"']]
    assert isinstance(error, Case)
    assert (error.verb, error.mark, error.reason) == ("error ValidationException", "notimpl", "for a reason")


def test_the_same_answers_leave_the_page_as_it_is(page: Path) -> None:
    answers = [(case, case.verb, case.answer) for case in read_golden(page).cases]
    assert with_answers(page, answers) == PAGE


def test_another_answer_takes_the_place_of_the_old_one_only(page: Path) -> None:
    first, second = read_golden(page).cases
    text = with_answers(page, [(first, "error Bad", [["no"]]), (second, "query", [["n:integer"], ["1"], ["2"]])])
    assert text.startswith(PAGE[: PAGE.index("query")] + "error Bad\nSELECT 1")
    assert text.endswith("----\nno\n\nnotimpl for a reason\nquery\nSELECT nope\n----\nn:integer\n1\n2\n")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("now 2024-13-01T00:00:00Z", 1),
        ("# fine\nselect 1", 2),
        ("query\nSELECT 1", 1),
        ("notimpl\nquery\nSELECT 1\n----\n", 1),
        ("table t", 1),
        ("write a.b host=a cpu:double 2024-01-01T00:00:00Z 1 2", 1),
        ("write a.b host=a cpu:float 2024-01-01T00:00:00Z 1", 1),
        ("error\nSELECT 1\n----\n", 1),
    ],
)
def test_a_fault_of_the_format_is_told_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "bad.slt"
    path.write_text(text)
    with pytest.raises(BadGolden, match=rf"bad\.slt:{line}: "):
        read_golden(path)


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_no_text_is_lost_in_a_table(texts: list[str]) -> None:
    line = "  ".join(map(quoted, texts))
    assert [unquoted(cell) for cell in cells(line)] == texts
