"""Texts of instants, and the days they fall in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.model.time import TIME_MAX_NS, day_of, epoch_seconds, instant_text, parse_instant, timestamp_text


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01 00:00:00.000000000"),
        (-1, "1969-12-31 23:59:59.999999999"),
        (1_709_968_089_123_456_789, "2024-03-09 07:08:09.123456789"),
        (TIME_MAX_NS, "2262-04-11 23:47:16.854775807"),
    ],
)
def test_a_timestamp_has_nine_digits(time_ns: int, text: str):
    assert timestamp_text(time_ns) == text


@given(st.integers(-(2**62), 2**62))
def test_an_instant_reads_back(time_ns: int):
    assert parse_instant(timestamp_text(time_ns).replace(" ", "T") + "Z") == time_ns


def test_messages_cut_to_the_millisecond():
    assert instant_text(1_709_968_089_123_999_999) == "2024-03-09T07:08:09.123Z"
    assert epoch_seconds(1_677_167_593_266_999_999) == 1677167593.266


def test_the_day_before_the_epoch_is_minus_one():
    assert [day_of(-1), day_of(0), day_of(86_400_000_000_000)] == [-1, 0, 1]


@pytest.mark.parametrize("text", ["", "yesterday", "2024-01-01T00:00:00.1234567890Z", "2024-01-01T00:00:00.x"])
def test_what_is_no_instant_is_refused(text: str):
    with pytest.raises(ValueError):
        parse_instant(text)
