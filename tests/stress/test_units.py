"""Durations and sizes: what is read, what is refused, and that what is shown can be read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.units import format_duration, format_latency, format_rate, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("200ms", 0.2), ("30s", 30), ("2m", 120), ("1h", 3600), ("1d", 86400), ("10", 10), ("0.5", 0.5), (".5s", 0.5),
        ("1m30s", 90), ("1h 2m 3s", 3723), (" 5 s ", 5), ("5S", 5), ("250us", 0.00025), ("250µs", 0.00025),
        ("1min", 60), ("7ns", 7e-9), ("0", 0), (12, 12), (0.25, 0.25),
    ],
)  # fmt: skip
def test_durations_are_read(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "x", "s", "-1s", "-1", "1x", "1m30", "10s x", "1e3", "nan", "inf", "١s", "1..5s", "1_000s",
        float("nan"), float("inf"), -1, -0.5, True, None, ["1s"],
    ],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(10, "10s"), (0.2, "200ms"), (60, "1m"), (90, "90s"), (5400, "90m"), (3600, "1h"), (1.5, "1.5s"), (2e-6, "2us")],
)
def test_durations_are_shown_short(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.floats(min_value=0, max_value=1e9, allow_nan=False))
def test_a_duration_that_is_shown_reads_back_the_very_same(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.00 µs"), (3.4e-5, "34.0 µs"), (0.00124, "1.24 ms"), (0.99996, "1.00 s"), (2.5, "2.50 s"), (120, "120 s")],
)
def test_latencies_are_shown_with_three_digits(seconds: float, text: str) -> None:
    assert format_latency(seconds) == text


@pytest.mark.parametrize(("rate", "text"), [(0, "0"), (0.42, "0.4"), (9.99, "10"), (12345.6, "12,346")])
def test_rates_are_shown(rate: float, text: str) -> None:
    assert format_rate(rate) == text
