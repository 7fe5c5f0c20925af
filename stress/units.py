"""Durations, rates and counts with their units, as people type them and as they are shown to people."""

from __future__ import annotations

import math
import re
from decimal import Decimal

_SECONDS = {
    "": Decimal(1),
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "min": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_NUMBER = r"(?:[0-9]{1,40}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})"
_PART = re.compile(rf"({_NUMBER})\s*([a-zA-Zµ]*)\s*")


def parse_duration(text: str | float) -> float:
    """Seconds: ``"200ms"``, ``"30s"``, ``"2m"``, ``"1h"``, ``"1m30s"``; a number alone is seconds.

    Raises ValueError for what is no duration, and for one that is negative, infinite or not a number.
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        if not math.isfinite(text) or text < 0:
            raise ValueError(f"{text!r} is not a duration")
        return float(text)
    whole = rest = text.strip() if isinstance(text, str) else ""
    total, parts = Decimal(0), 0
    while rest:
        part = _PART.match(rest)
        if part is None or part[2].lower() not in _SECONDS or (part[0] != whole and not part[2]):
            raise ValueError(f"{text!r} is not a duration")
        total += Decimal(part[1]) * _SECONDS[part[2].lower()]
        rest, parts = rest[part.end() :], parts + 1
    if not parts:
        raise ValueError(f"{text!r} is not a duration")
    return float(total)


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads back as the very same number: ``10s``, ``200ms``, ``90m``."""
    exact = Decimal(repr(float(seconds)))
    for unit in ("h", "m"):
        count = exact / _SECONDS[unit]
        if count >= 1 and count == count.to_integral_value():
            return f"{count:f}".partition(".")[0] + unit
    for unit in ("s", "ms", "us"):
        count = exact / _SECONDS[unit]
        if count == count.to_integral_value() or (unit == "s" and count >= 1):
            shown = f"{count:f}"
            if "." in shown:
                shown = shown.rstrip("0").rstrip(".")
            return shown + unit
    return f"{exact:f}s"


def format_latency(seconds: float) -> str:
    """For people, at about three digits: ``34 µs``, ``1.24 ms``, ``2.5 s``."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        amount = seconds * factor
        if amount >= 0.9995 or unit == "µs":
            digits = 2 if amount < 9.995 else 1 if amount < 99.95 else 0
            return f"{amount:.{digits}f} {unit}"
    raise AssertionError("unreachable")


def format_rate(per_s: float) -> str:
    """Operations a second, for people: ``0.4``, ``37``, ``12,345``."""
    return f"{per_s:.1f}" if 0 < per_s < 9.95 else f"{per_s:,.0f}"


def counted(count: int, one: str, many: str = "") -> str:
    """``1 writer``, ``16 writers``, ``41,203 operations``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
