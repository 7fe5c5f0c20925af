"""Valid is one thing: RFC 8259 in UTF-8, for every reader and writer, in both languages, however deep their own stack.

Nothing is called corrupt, replaced by a backup, or hidden behind a default, because *our* reader cannot take it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from atomicops import CorruptFile, atomic_write_text, read_json, recover, safe_read_json, update_json
from tests.atomicops.both import LANGUAGES, Helpers

HELPERS = Helpers()
BOM = b"\xef\xbb\xbf"
DEPTH_MAX = 10_000


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def nested_objects(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


VALID = {
    "1,200 levels": nested(1200),
    "the limit": nested(DEPTH_MAX),
    "objects, 5,000 levels": nested_objects(5000),
    "5,000 digits": b'{"mine":1,"id":' + b"9" * 5000 + b"}",
    "a negative of 20,000 digits": b"[-1" + b"0" * 20_000 + b"]",
    "a fraction of 6,000 digits": b"[0." + b"3" * 6000 + b"]",
    "an exponent out of range": b"[1e9999, -1E+9999, 1e-9999]",
    "70,000 escapes": b'"' + b"\\n" * 70_000 + b'"',
    "70,000 letters that are not ASCII": b'"' + "é".encode() * 70_000 + b'"',
    "100,000 escaped quotes": b'"' + b'\\"' * 100_000 + b'"',
    "lone surrogates, escaped": b'["\\ud800", "\\udfff\\ud800"]',
    "an escaped NUL": b'"\\u0000"',
    "the last character": '"\U0010ffff"'.encode(),
    "duplicate keys": b'{"a": 1, "a": 2}',
    "white space around": b" \t\r\n[1]\n\n ",
    "a byte order mark": BOM + b'{"mine": 1}',
    "a byte order mark, and a scalar": BOM + b" 1\n",
    "minus zero": b"-0",
}
INVALID = {
    "nothing": b"",
    "white space": b" \n",
    "only a byte order mark": BOM,
    "two byte order marks": BOM + BOM + b"1",
    "a byte order mark inside": b"[" + BOM + b"1]",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "NaN": b"[NaN]",
    "a leading zero": b"[01]",
    "a plus": b"[+1]",
    "a comma too many": b"[1,]",
    "two values": b"{} {}",
    "a NUL behind": b"{}\0",
    "a control character": b'"\x01"',
    "a form feed": b"\x0c[1]",
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "an overlong sequence": b'"\xc0\xaf"',
    "beyond the last character": b'"\xf4\x90\x80\x80"',
    "a cut character": b'"\xc3"',
    "a string that does not end, and an array": b'\t" \t[]',
    "a quote, and an object": b'"\n{}',
    "a quote in an array": b'["\n[]]',
    "cut off": b'{"a": [1, 2',
    "deep, and cut off": b"[" * 9_000,
    "deep, and closed by the wrong one": b"[" * 9_000 + b"}" * 9_000,
    "deep, and a value behind": nested(9_000) + b" 1",
    "deep, and a comma too many": b"[" * 9_000 + b"1," + b"]" * 9_000,
    "deep, and a leading zero": b"[" * 9_000 + b"01" + b"]" * 9_000,
    "deep, and NaN": b"[" * 9_000 + b"NaN" + b"]" * 9_000,
    "deep, and a key without a value": b'{"a":' * 9_000 + b'{"b"}' + b"}" * 9_000,
    "deep, and a key that is no string": b'{"a":' * 9_000 + b"{1:2}" + b"}" * 9_000,
    "5,000 digits, and a value behind": b"9" * 5000 + b" 1",
}
OLD = b'"old"'


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", VALID)
def test_valid_for_every_reader(tmp_path: Path, language: str, name: str) -> None:
    data = VALID[name]
    (tmp_path / "d.json.1700000000.bak").write_bytes(OLD)
    path = tmp_path / "d.json"
    done = HELPERS.call(language, "write", "-", "d.json", cwd=tmp_path, stdin=data)
    assert (done.code, done.err) == (0, "")
    assert path.read_bytes().removeprefix(BOM) == data.removeprefix(BOM)
    path.write_bytes(data)
    done = HELPERS.call(language, "recover", "d.json", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert path.read_bytes() == data
    done = HELPERS.call(language, "read", "d.json", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert safe_read_json(path, "DEFAULT") != "DEFAULT"
    assert read_json(path).data is not None


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", INVALID)
def test_invalid_for_every_reader(tmp_path: Path, language: str, name: str) -> None:
    data = INVALID[name]
    path = tmp_path / "d.json"
    path.write_bytes(OLD)
    done = HELPERS.call(language, "write", "-", "d.json", cwd=tmp_path, stdin=data)
    assert (done.code, done.refused, path.read_bytes()) == (65, True, OLD), done
    path.write_bytes(data)
    (tmp_path / "d.json.1700000000.bak").write_bytes(OLD)
    assert HELPERS.call(language, "recover", "d.json", cwd=tmp_path).code == 0
    assert path.read_bytes() == OLD
    assert [kept.read_bytes() for kept in tmp_path.glob("*.corrupt")] == [data]
    path.write_bytes(data)
    assert safe_read_json(path, "DEFAULT") == "DEFAULT"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("make", [nested, nested_objects])
def test_too_deep_is_refused_and_is_no_corruption(tmp_path: Path, language: str, make: Callable[[int], bytes]) -> None:
    data = make(DEPTH_MAX + 1)
    path = tmp_path / "d.json"
    path.write_bytes(OLD)
    done = HELPERS.call(language, "write", "-", "d.json", cwd=tmp_path, stdin=data)
    assert (done.code, done.refused, path.read_bytes()) == (65, True, OLD), done
    path.write_bytes(data)
    (tmp_path / "d.json.1700000000.bak").write_bytes(OLD)
    for operation in ("recover", "read"):
        done = HELPERS.call(language, operation, "d.json", cwd=tmp_path)
        assert (done.code, done.refused, path.read_bytes()) == (74, True, data), done
        assert "10,000" in done.err
    assert list(tmp_path.glob("*.corrupt")) == []


def test_too_deep_never_gives_the_default(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_bytes(nested(DEPTH_MAX + 1))
    for action in (
        lambda: safe_read_json(path, "DEFAULT"),
        lambda: read_json(path),
        lambda: update_json(path, lambda d: 1),
    ):
        with pytest.raises((OSError, ValueError)) as caught:
            action()
        assert not isinstance(caught.value, CorruptFile)


def test_the_limit_of_depth_is_not_the_interpreters(tmp_path: Path) -> None:
    """Who has raised the limit of recursion reads and writes what all others do, and no more."""
    path = tmp_path / "deep.json"
    path.write_bytes(nested(DEPTH_MAX + 1))
    code = f"""if True:
        import sys, atomicops
        sys.setrecursionlimit(5 * {DEPTH_MAX})
        try:
            atomicops.safe_read_json("deep.json")
        except atomicops.CannotCheck:
            print("not read")
        data = []
        for _ in range({DEPTH_MAX}):
            data = [data]
        try:
            atomicops.atomic_write_json(data, "deep.json")
        except ValueError:
            print("not written")
        atomicops.atomic_write_json(data[0], "deep.json")
        """
    done = HELPERS.run([HELPERS.python, "-c", code], cwd=tmp_path)
    assert (done.code, done.out, done.err) == (0, "not read\nnot written\n", "")
    assert "".join(path.read_text().split()).encode() == nested(DEPTH_MAX)


def test_what_an_update_would_lose_is_not_called_corrupt(tmp_path: Path) -> None:
    """Who recovers what is corrupt would put an old backup over a valid file."""
    path = tmp_path / "d.json"
    for document in ('{"a": 1, "a": 2}', '{"a": 0.10000000000000001}'):
        path.write_text(document)
        with pytest.raises(ValueError, match="would be lost") as caught:
            update_json(path, lambda data: data)
        assert not isinstance(caught.value, CorruptFile)


@pytest.mark.parametrize("frames", [0, 200, 700])
@pytest.mark.parametrize("data", [nested(900), nested(DEPTH_MAX), nested_objects(950)], ids=["900", "limit", "objects"])
def test_the_callers_stack_changes_nothing(tmp_path: Path, frames: int, data: bytes) -> None:
    path = tmp_path / "d.json"
    path.write_bytes(data)
    path.with_name("d.json.1700000000.bak").write_bytes(OLD)

    def below(left: int) -> str:
        if left:
            return below(left - 1)
        assert safe_read_json(path, "DEFAULT") != "DEFAULT"
        update_json(path, lambda document: [document][0])
        return recover(path).status

    assert below(frames) == "valid"
    assert path.read_bytes().count(b"[" if data[:1] == b"[" else b"{") == data.count(data[:1])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_byte_order_mark_is_not_written(tmp_path: Path, language: str) -> None:
    path = tmp_path / "d.json"
    path.write_bytes(BOM + b'{"n": 1}')
    assert HELPERS.increment(language, "d.json", tmp_path).code == 0
    assert json.loads(path.read_text("utf-8")) == {"n": 2}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "document",
    [
        '{"n": 1, "id": ' + "9" * 5000 + "}",
        '{"n": 1, "big": 12345678901234567890}',
        '{"n": 1, "b": 2, "b": 3}',
        '{"n": 1, "exponent": 1e99999999999999999999}',
        '{"n": 1, "digits": 0.10000000000000001}',
    ],
)
def test_an_update_keeps_what_it_was_not_asked_to_change_or_refuses(
    tmp_path: Path, language: str, document: str
) -> None:
    path = tmp_path / "d.json"
    path.write_text(document)
    done = HELPERS.increment(language, "d.json", tmp_path)
    if done.code:
        assert (done.refused, path.read_text()) == (True, document), done
    else:
        assert "".join(path.read_text().split()) == "".join(document.replace('"n": 1', '"n": 2').split())


def test_what_one_language_wrote_the_other_reads(tmp_path: Path) -> None:
    for name, data in VALID.items():
        if not data.startswith(BOM):
            atomic_write_text(data.decode(), tmp_path / "d.json", durability="none")
            assert HELPERS.call("bash", "read", "d.json", cwd=tmp_path).out.encode() == data, name
