"""A valid file is taken however large its parts are: what an operation costs grows with the file, and not with its
square; and nobody converts a number of a million digits only to know whether it is JSON.
"""

from __future__ import annotations

import random
import sys
import tracemalloc
from pathlib import Path

import pytest

from atomicops import _deep, atomic_write_bytes, read_json, recover, safe_read_json
from atomicops._cli_edit import lost_by_jq
from atomicops._json import dumps
from tests.atomicops.both import Helpers

HELPERS = Helpers()
CPU_S = 12
"""What each program may compute: several times what it does. What grows with the square takes several times this."""

GROWING = {
    "a number of 700,000 digits": (
        b'{"n": 1, "id": ' + b"7" * 700_000 + b"}",
        f"{sys.executable} -m atomicops update d.json --increment n",
    ),
    "texts, and a long one": (b"[" + b'"", ' * 20_000 + b'"' + b"x" * 10_000_000 + b'"]', "atomic_update d.json ."),
}


@pytest.mark.parametrize("name", GROWING)
def test_what_it_costs_does_not_grow_with_the_square(tmp_path: Path, name: str) -> None:
    data, line = GROWING[name]
    (tmp_path / "d.json").write_bytes(data)
    done = HELPERS.bash(f'. "$0/atomicops.sh"; ulimit -t {CPU_S}; {line}', cwd=tmp_path)
    assert (done.code, done.err) == (0, "")


def test_to_check_is_not_to_convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(text: str) -> int:
        raise AssertionError(f"{len(text)} digits are converted")

    monkeypatch.setattr(_deep, "long_int", convert)
    path = tmp_path / "d.json"
    data = b"[" * 5_000 + b"1" * 5_000 + b"]" * 5_000  # as deep as only our own loop takes
    atomic_write_bytes(data, path)
    assert recover(path).status == "valid"
    done = HELPERS.call("python", "update", "d.json", "--", "cat", cwd=tmp_path)
    assert (done.code, path.read_bytes()) == (0, data), done


def test_what_holds_itself_is_not_written_again_and_again() -> None:
    data: dict[str, object] = {"items": list(range(1_000))}
    data["self"] = [data]
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="Circular reference"):
            dumps(data)
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()
    shared: list[object] = [1]
    lists = shared
    for _ in range(5_000):  # what is there several times, and not inside of itself, is written as often
        lists = [shared, lists]
    assert dumps(lists).count(b"1") == 5_001


@pytest.mark.parametrize("digits", [1, 639, 640, 641, 1280, 1281, 5_000, 30_011])
def test_long_numbers_come_back_as_they_were(digits: int) -> None:
    for text in (
        "1" + "0" * (digits - 1),
        "9" * digits,
        "-" + "".join(random.Random(1).choices("123456789", k=digits)),
    ):
        number = _deep.long_int(text)
        assert (abs(number) % 10**18, number < 0) == (int(text[-600:].lstrip("-")) % 10**18, text[0] == "-")
        assert _deep.encode([number], None) == f"[{text}]"


@pytest.mark.parametrize("limit", ["640", "4300", "0"])
def test_the_interpreters_limit_of_digits_is_not_ours(tmp_path: Path, limit: str) -> None:
    path = tmp_path / "d.json"
    path.write_text('{"n": 1, "id": ' + "9" * 1_000 + "}")
    done = Helpers(env={"PYTHONINTMAXSTRDIGITS": limit}).increment("python", "d.json", tmp_path)
    assert (done.code, done.err) == (0, "")
    assert read_json(path).data == {"n": 2, "id": 10**1_000 - 1}


def test_a_long_text_needs_no_more_memory_than_some_copies(tmp_path: Path) -> None:
    data = b'["' + b"x" * 1_000_000 + b'"' + b", []" * 10_001 + b"]"
    path = tmp_path / "d.json"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        assert lost_by_jq(data) == ""
        assert safe_read_json(path) != {}
        assert tracemalloc.get_traced_memory()[1] < 20 * len(data)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("number", [b"1e" + b"7" * 5_000, b"1e-" + b"7" * 5_000, b"1e290"])
def test_an_exponent_of_any_length_is_one_that_jq_would_round(number: bytes) -> None:
    assert "round" in lost_by_jq(b"[" + number + b"]")
    assert lost_by_jq(b"[1e0000" + b"0" * 5_000 + b"289]") == ""
