"""Reading JSON, its version, and updates."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import atomicops
from atomicops import _json

CORRUPT = [
    b"", b" \n", b"{", b'{"a": 1', b"{} x", b"NaN",
    b"[Infinity]", b"-Infinity", b"\xff\xfe", b'"\xed\xa0\x80"', b"{}\0",
    b"\xef\xbb\xbf{}", b"'a'", b"[1,]", b"01", b"1.", b'"\n"', b'"\\x"', b"nul", b"\0\0\0\0",
]  # fmt: skip


@pytest.mark.parametrize("content", CORRUPT)
def test_every_kind_of_corruption_gives_the_default_or_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    assert atomicops.safe_read_json(path, default=["default"]) == ["default"]
    with pytest.raises(atomicops.CorruptFile) as caught:
        atomicops.read_json(path)
    assert isinstance(caught.value, ValueError)
    assert caught.value.filename == str(path)
    assert caught.value.reason in str(caught.value)
    with pytest.raises(atomicops.CorruptFile):
        atomicops.update_json(path, lambda data: data, default={})
    assert path.read_bytes() == content
    assert _json.why_not_json(content) is not None


def test_a_missing_file_gives_the_default(tmp_path: Path) -> None:
    for path in (tmp_path / "x", tmp_path / "no" / "x"):
        assert atomicops.safe_read_json(path, default=[]) == []
        default = {"a": 1}
        assert atomicops.safe_read_json(path, default) is default
        with pytest.raises(FileNotFoundError):
            atomicops.read_json(path)
        assert atomicops.read_json(path, default=None) == atomicops.Snapshot(None, atomicops.ABSENT)
    assert os.listdir(tmp_path) == []


def test_without_a_default_there_is_a_new_dictionary(tmp_path: Path) -> None:
    first = atomicops.safe_read_json(tmp_path / "x")
    first["count"] = first.get("count", 0) + 1
    assert atomicops.safe_read_json(tmp_path / "x") == {}
    (tmp_path / "x").write_text("null")
    assert atomicops.safe_read_json(tmp_path / "x", default={}) is None  # what the file says, it says


@pytest.mark.parametrize("read", [atomicops.safe_read_json, atomicops.read_json])
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(IsADirectoryError) as caught:
        read(tmp_path)
    assert caught.value.filename == str(tmp_path)
    if os.geteuid():
        (tmp_path / "x").touch(0)
        with pytest.raises(PermissionError):
            read(tmp_path / "x")


def test_a_version_is_the_hash_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b' {"a":\n1}')
    snapshot = atomicops.read_json(path)
    assert snapshot == atomicops.Snapshot({"a": 1}, "sha256-" + hashlib.sha256(b' {"a":\n1}').hexdigest())
    data, version = snapshot
    assert (data, version) == (snapshot.data, snapshot.version)
    with pytest.raises(AttributeError):
        snapshot.data = 2
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot
    assert "sha256-" in repr(snapshot)


def test_an_update_takes_what_the_function_returns_or_changed(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    default: dict[str, list[int]] = {"seen": []}
    assert atomicops.update_json(path, lambda data: data["seen"].append(1), default=default) == {"seen": [1]}
    assert default == {"seen": []}  # the caller's own stays as it was
    assert atomicops.update_json(path, lambda data: {**data, "n": 1}) == {"seen": [1], "n": 1}
    assert json.loads(path.read_text()) == {"seen": [1], "n": 1}
    assert atomicops.update_json(path, lambda data: 0) == 0
    assert path.read_text() == "0\n"


def test_a_failed_update_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(FileNotFoundError) as caught:
        atomicops.update_json(tmp_path / "no" / "x", lambda data: data)
    assert caught.value.filename == str(tmp_path / "no" / "x")
    with pytest.raises(FileNotFoundError):
        atomicops.update_json(path, lambda data: data)
    atomicops.atomic_write_json({"a": 1}, path)

    def broken(data: dict[str, int]) -> None:
        data["a"] = 2
        raise RuntimeError("half done")

    with pytest.raises(RuntimeError, match="half done"):
        atomicops.update_json(path, broken)
    with pytest.raises(ValueError, match="not a string"):
        atomicops.update_json(path, lambda data: {1: 1})
    assert path.read_text() == '{"a": 1}\n'
    assert sorted(os.listdir(tmp_path)) == [".x.json.lock", "x.json"]
    atomicops.atomic_write_json({}, path, timeout=0)


def test_long_numbers_are_json(tmp_path: Path) -> None:
    """int() refuses thousands of digits; a validator has no reason to."""
    assert _json.why_not_json(b"9" * 10_000) is None
    atomicops.atomic_write_text("9" * 10_000, tmp_path / "x.json")
    if sys.version_info >= (3, 11):
        with pytest.raises(atomicops.CorruptFile):
            atomicops.read_json(tmp_path / "x.json")


def test_bottomless_nesting_is_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"[" * 200_000 + b"]" * 200_000)
    with pytest.raises(atomicops.CorruptFile, match="too deeply"):
        atomicops.read_json(path)
    assert atomicops.safe_read_json(path, default=1) == 1


texts = st.text(st.characters(exclude_categories=["Cs"]))
documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(documents)
def test_what_is_serialised_comes_back(document: object) -> None:
    content = _json.dumps(document)
    assert content.endswith(b"\n")
    assert _json.loads(content, "x") == document
    assert _json.why_not_json(content) is None
    assert _json.loads(_json.dumps(document, indent=2), "x") == document


keys = st.text(max_size=2) | st.integers(0, 2) | st.none() | st.booleans() | st.floats(0, 2)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=2)
    | st.just({1}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3) | st.tuples(inner),
    max_leaves=8,
)


@given(anything)
def test_data_is_refused_with_a_value_error_or_comes_back(data: object) -> None:
    def as_lists(node: object) -> object:
        if isinstance(node, (list, tuple)):
            return [as_lists(item) for item in node]
        return {key: as_lists(item) for key, item in node.items()} if isinstance(node, dict) else node

    try:
        content = _json.dumps(data)
    except ValueError:
        return
    assert _json.loads(content, "x") == as_lists(data)
