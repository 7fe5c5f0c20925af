"""Reading JSON, its version, and updates."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import atomicops
from atomicops import _json
from tests.atomicops.both import LONG

CORRUPT = [
    b"", b" \n", b"{", b'{"a": 1', b"{} x", b"NaN",
    b"[Infinity]", b"-Infinity", b"\xff\xfe", b'"\xed\xa0\x80"', b"{}\0",
    b"'a'", b"[1,]", b"01", b"1.", b'"\n"', b'"\\x"', b"nul", b"\0\0\0\0",
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


@pytest.mark.parametrize("levels", [1, 1_200])
def test_what_indents_is_white_space(tmp_path: Path, levels: int) -> None:
    document: list[object] = []
    for _ in range(levels):
        document = [document]
    path = tmp_path / "x.json"
    with pytest.raises(ValueError, match="indent"):
        atomicops.atomic_write_json(document, path, indent="x")  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []
    for indent, line in (("\t", "\t[]"), (2, "  []")):  # of the innermost, if there is one level
        atomicops.atomic_write_json(document, path, indent=indent, durability="none")  # type: ignore[arg-type]
        assert path.read_text().splitlines()[levels] == line.replace("[]", "") * levels + "[]"


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
    number = 10**10_000 + 7
    path = tmp_path / "x.json"
    atomicops.atomic_write_text('{"n": 1' + "0" * 9_999 + '7, "m": 1e3}', path)
    assert atomicops.read_json(path).data == {"n": number, "m": 1000.0}
    assert atomicops.update_json(path, lambda data: {**data, "n": -data["n"]}) == {"n": -number, "m": 1000.0}
    assert atomicops.safe_read_json(path) == {"n": -number, "m": 1000.0}


def nested(levels: int) -> bytes:
    return b'{"a":[' * (levels // 2) + b"[" * (levels % 2) + b"]" * (levels % 2) + b"]}" * (levels // 2)


def lists(levels: int, innermost: object) -> object:
    data = innermost
    for _ in range(levels):
        data = [data]
    return data


@pytest.mark.parametrize("frames", [0, 200, 800])
@pytest.mark.parametrize("levels", [900, 1_201, 10_000])
def test_depth_is_the_documents_whatever_the_callers(tmp_path: Path, frames: int, levels: int) -> None:
    path = tmp_path / "x.json"
    (tmp_path / "x.json.1700000000.bak").write_text('"old"')

    def below(frames: int) -> None:
        if frames:
            below(frames - 1)
            return
        atomicops.atomic_write_bytes(nested(levels), path)
        assert atomicops.recover(path).status == "valid"
        data = atomicops.safe_read_json(path, default="default")
        atomicops.atomic_write_json(data, path)
        assert path.read_bytes().replace(b" ", b"").strip() == nested(levels)
        atomicops.update_json(path, lambda data: None)

    below(frames)
    assert path.read_bytes().replace(b" ", b"").strip() == nested(levels)


def test_what_is_nested_deeper_than_the_limit_is_not_called_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    (tmp_path / "x.json.1700000000.bak").write_text('"old"')
    for levels in (10_001, 200_000):
        path.write_bytes(nested(levels))
        for call in (
            lambda: atomicops.read_json(path),
            lambda: atomicops.safe_read_json(path, default=1),
            lambda: atomicops.update_json(path, lambda data: data),
            lambda: atomicops.recover(path),
        ):
            with pytest.raises(atomicops.CannotCheck, match="10,000 levels"):
                call()
        with pytest.raises(ValueError, match="10,000 levels"):
            atomicops.atomic_write_bytes(nested(levels), path)
        assert path.read_bytes() == nested(levels)
    brackets = b'["' + b"[" * 20_000 + b'"]'
    atomicops.atomic_write_bytes(brackets, path)  # these do not nest
    assert atomicops.read_json(path).data == ["[" * 20_000]


@pytest.mark.parametrize("innermost", [[], {}, [1], {"a": 1}])
def test_what_is_written_is_not_too_deep_to_be_read(tmp_path: Path, innermost: object) -> None:
    path = tmp_path / "x.json"
    atomicops.atomic_write_json(lists(9_999, innermost), path)
    atomicops.read_json(path)
    with pytest.raises(ValueError, match="10,000 levels"):
        atomicops.atomic_write_json(lists(10_000, innermost), path)


def test_a_default_may_be_as_deep_as_a_document(tmp_path: Path) -> None:
    default = lists(9_999, [])
    assert isinstance(default, list)
    atomicops.update_json(tmp_path / "x.json", lambda data: data.append(1), default=default)
    assert len(default) == 1
    assert atomicops.read_json(tmp_path / "x.json").data[1] == 1
    with pytest.raises(ValueError, match="10,000 levels"):
        atomicops.update_json(tmp_path / "y.json", lambda data: 1, default=lists(10_000, []))


def test_an_update_loses_nothing_that_it_was_not_asked_to_change(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    keys = (b'{"a": 1, "a": 2}', b'[{"b": {"c": 1, "c": 1}}]')
    for content in (*keys, b"[0.1234567890123456789]", b"[1e400]", b"[1e-9999]"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="lost"):
            atomicops.update_json(path, lambda data: data)
        assert path.read_bytes() == content
        assert atomicops.recover(path).status == "valid"
    path.write_bytes(b"[0.1, 1.10, 1e5, 12345678.90, 0.30000000000000004, -0.0]")
    assert atomicops.update_json(path, lambda data: data) == [0.1, 1.1, 1e5, 12345678.9, 0.30000000000000004, 0]


def test_a_byte_order_mark_is_read_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    atomicops.atomic_write_bytes(b'\xef\xbb\xbf{"a": 1}', path)
    assert atomicops.safe_read_json(path) == {"a": 1}
    assert atomicops.recover(path).status == "valid"
    atomicops.update_json(path, lambda data: data)
    assert path.read_bytes() == b'{"a": 1}\n'


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


@settings(max_examples=1000 if LONG else 50, derandomize=not LONG)
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


@settings(max_examples=1000 if LONG else 50, derandomize=not LONG)
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
