"""Payloads say whose they are, and nothing that is not whole passes for one."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections import OrderedDict, UserDict
from collections.abc import Callable
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.history.record import GARBAGE, INITIAL, NO_VERSION, format_version, parse_version, version_of
from stress.workload.payload import (
    Edit,
    apply_edits,
    document_of,
    draw_size,
    examine_bytes,
    examine_document,
    jq_program,
    log_record,
    parent_in,
    parse_log,
    words_in,
    writers_in,
)

versions = st.builds(version_of, st.integers(1, 5000), st.integers(1, 10**6))
sizes = st.integers(0, 3000)
shapes = st.sampled_from([{}, {"session_count": 3, "note": "ü"}, [{"passes": False}], [{"passes": True}, {"id": 2}]])


@given(versions)
def test_a_versions_text_can_be_read_back(version: int) -> None:
    assert parse_version(format_version(version)) == version


@pytest.mark.parametrize("text", ["", "p", "p1", "p1.", "p01.2", "p1.2 ", "p1.2.3", "x1.2", "p-1.2", "p٣.1", None, 3])
def test_what_is_no_version_is_garbage(text: object) -> None:
    assert parse_version(text) == GARBAGE


@given(versions, sizes, shapes)
def test_a_whole_document_is_its_version(version: int, size: int, shape: object) -> None:
    document = document_of(version, size, shape)  # type: ignore[arg-type]
    assert examine_document(document) == (version, NO_VERSION, False)
    assert examine_bytes(json.dumps(document, indent=2, sort_keys=True).encode()) == (version, NO_VERSION, False)


@pytest.mark.parametrize(
    ("shape", "alter"),
    [
        ({"a": False, "b": 1}, lambda document: document.pop("a")),
        ({"a": [], "b": 1}, lambda document: document.pop("a")),
        ({"a": None}, lambda document: document.pop("a")),
        ({"count": 3}, lambda document: document.update(count=2)),
        ({"count": 0}, lambda document: document.update(count=False)),
        ({"a": {"b": [1, 2]}}, lambda document: document["a"]["b"].append(3)),
        ({"a": 1}, lambda document: document.update(b=2)),
        ([{"id": 1, "passes": False}, {"id": 2}], lambda document: document[0].pop("passes")),
        ([{"id": 1}, {"id": 2}, {"id": 3}], lambda document: document.pop(1)),
    ],
)
def test_a_whole_document_whose_fields_are_others_is_altered(shape: object, alter: Callable[[Any], object]) -> None:
    version = version_of(7, 7)
    document = document_of(version, 30, shape)  # type: ignore[arg-type]
    text = json.dumps(document)
    alter(document)
    for _ in range(2):  # also when the whole one has been seen before
        assert examine_document(document) == (version, NO_VERSION, True)
        assert examine_bytes(text.encode()) == (version, NO_VERSION, False)


class _Mapping(UserDict[str, Any]):
    """What a library may return for an object."""


@pytest.mark.parametrize(
    "loads",
    [
        lambda text: json.loads(text, object_pairs_hook=OrderedDict),
        lambda text: json.loads(text, object_pairs_hook=lambda pairs: type("Made", (dict,), {})(pairs)),
        lambda text: json.loads(text, object_hook=_Mapping),
        lambda text: json.loads(text, parse_float=Decimal),
        lambda text: json.loads(text, parse_int=float),
        lambda text: {**json.loads(text), "_rev": 7, "_read_at": 1.5},
        lambda text: MappingProxyType(json.loads(text)),
    ],
    ids=["ordered", "subclass", "mapping", "decimal", "float", "own", "proxy"],
)
def test_a_reader_s_types_and_a_target_s_own_fields_are_their_own_affair(loads: Callable[[str], Any]) -> None:
    version = version_of(7, 9)
    document = loads(json.dumps(document_of(version, 30, {"n": 3, "a": {"b": [1, 0.25, None]}, "f": False})))
    assert examine_document(document) == (version, NO_VERSION, False)
    updated = apply_edits(document, version, version_of(8, 1), 40, [Edit(("n",), add=1)])
    assert examine_document(updated) == (version_of(8, 1), version, False)
    assert updated["n"] == 4
    altered = loads(json.dumps(document_of(version, 30, {"n": 3}) | {"n": 2}))
    assert examine_document(altered).altered


def test_a_list_as_a_tuple_is_one() -> None:
    document = document_of(version_of(7, 9), 30, [{"n": 1}, {"n": 2}])
    assert examine_document(tuple(document)) == (version_of(7, 9), NO_VERSION, False)
    assert apply_edits(tuple(document), 1, version_of(8, 1), 40, [Edit((1, "n"), add=1)])[1]["n"] == 3


@pytest.mark.parametrize("odd", [object(), {"stress": {1: 2}}, {1: 2, "stress": object()}, 10**400, b"x", {1, 2}])
def test_what_is_no_document_at_all_is_garbage(odd: object) -> None:
    assert examine_document(odd) == (GARBAGE, NO_VERSION, False)


def test_fields_are_not_judged_where_their_writer_could_not_add_them_up() -> None:
    document = document_of(version_of(7, 8), 30, {"a": 1})
    document["stress"]["body"] = None
    assert examine_document({**document, "a": 2}) == (version_of(7, 8), NO_VERSION, False)


@given(versions, versions, sizes, sizes, shapes, st.data())
def test_no_mixture_of_two_documents_passes(
    one: int, other: int, size: int, other_size: int, shape: object, data: st.DataObject
) -> None:
    first = json.dumps(document_of(one, size, shape)).encode()  # type: ignore[arg-type]
    second = json.dumps(document_of(other, other_size, shape)).encode()  # type: ignore[arg-type]
    cut = data.draw(st.integers(0, len(first)))
    mixed = first[:cut] + second[cut:]
    if mixed not in (first, second):
        assert examine_bytes(mixed).version == GARBAGE


@given(versions, sizes, st.data())
def test_no_truncated_document_passes(version: int, size: int, data: st.DataObject) -> None:
    content = json.dumps(document_of(version, size, {"a": 1})).encode()
    cut = data.draw(st.integers(0, len(content) - 1))
    assert examine_bytes(content[:cut]).version == GARBAGE
    assert examine_bytes(content + content[cut:]).version == GARBAGE


@given(versions, sizes)
def test_a_changed_pad_length_or_checksum_shows(version: int, size: int) -> None:
    document = document_of(version, size, {})
    another = "p9.9" if version != version_of(9, 9) else "p9.8"
    for field, value in (
        ("pad", document["stress"]["pad"] + "x"),
        ("size", size + 1),
        ("crc", 1),
        ("version", another),
        ("version", []),
    ):
        changed = {**document, "stress": {**document["stress"], field: value}}
        assert examine_document(changed).version == GARBAGE
    assert examine_document({**document, "stress_end": another}).version == GARBAGE
    assert examine_document({**document, "stress": {**document["stress"], "parent": []}}).parent == GARBAGE


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
@pytest.mark.parametrize(
    ("shape", "form", "edits"),
    [
        ({"session_count": 4}, "object", (Edit(("session_count",), add=1), Edit(("last_update",), set="today"))),
        ({}, "object", (Edit(("session_count",), add=1),)),
        ([{"passes": False}, {"passes": False}, {"passes": False}], "list", (Edit((1, "passes"), set=True),)),
        ({"_rev": 4, "a": {"_b": 1}}, "object", (Edit(("n",), add=1),)),
        ([{"_rev": 4, "n": 1}, {"_n": 2}, {"_rev": 5}], "list", (Edit((1, "n"), add=1),)),
        ({"z": {"b": [1, {"y": None, "x": 'ü日😀\n"'}], "a": -1.5}, "a": True}, "object", (Edit(("n",), set=[{}]),)),
    ],
)
def test_jq_and_python_make_the_same_update(shape: object, form: str, edits: tuple[Edit, ...]) -> None:
    before = document_of(version_of(1, 2), 100, shape)  # type: ignore[arg-type]
    program = jq_program(version_of(3, 4), 222, edits, form=form)
    done = subprocess.run(["jq", program], input=json.dumps(before), capture_output=True, text=True, check=True)
    after = json.loads(done.stdout)
    assert after == apply_edits(before, version_of(1, 2), version_of(3, 4), 222, edits)
    assert examine_document(after) == (version_of(3, 4), version_of(1, 2), False)
    assert parent_in(done.stderr) == version_of(1, 2)
    assert words_in(done.stderr + "jq: it broke\n").strip() == "jq: it broke"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_characters_that_an_encoding_does_not_have_are_missed(encoding: str) -> None:
    whole = document_of(version_of(1, 2), 100, {"said": "Grüße, 日本"})
    lossy = json.dumps(whole, ensure_ascii=False).encode(encoding, "replace")
    assert examine_document(json.loads(lossy.decode(encoding))) == (version_of(1, 2), NO_VERSION, True)


@pytest.mark.parametrize("nothing", [{}, [], None, "text", [1]])
def test_an_update_that_starts_from_nothing_says_so(nothing: object) -> None:
    after = apply_edits(nothing, GARBAGE, version_of(3, 4), 10, ())
    assert examine_document(after) == (version_of(3, 4), GARBAGE, False)


@given(st.lists(st.tuples(versions, st.integers(0, 400)), max_size=6), st.data())
def test_a_log_is_its_records_and_a_torn_one_says_where(records: list[tuple[int, int]], data: st.DataObject) -> None:
    texts = [log_record(version, size) for version, size in records]
    content = "".join(texts).encode()
    assert parse_log(content) == ([version for version, _ in records], len(content))
    cut = data.draw(st.integers(0, len(content)))
    found, end = parse_log(content[:cut])
    assert found == [version for version, _ in records][: len(found)]
    assert end == len("".join(texts[: len(found)]).encode())
    assert (end == cut) == (content[:cut] == "".join(texts[: len(found)]).encode())


def test_a_log_can_be_read_from_where_it_was_whole() -> None:
    first, second = log_record(INITIAL, 5).encode(), log_record(version_of(1, 1), 5).encode()
    assert parse_log(first + second, len(first)) == ([version_of(1, 1)], len(first + second))


_MANGLERS = {
    "echo -e": 'echo -e "$1"',
    "echo of sh": """sh -c 'echo "$1"' sh "$1" """,
    "printf with it as the format": 'printf "$1\\n"',
    "echo without quotes": "echo $1",
    "eval": """eval "echo '$1'" """,
    "double quotes in a template": 'eval "echo \\"$1\\""',
    "read without -r": 'while read line; do echo "$line"; done <<<"$1"',
    "read without IFS=": 'while read -r line; do echo "$line"; done <<<"$1"',
    "the replacement of sed": """echo text | sed "s|text|${1//$'\\n'/\\\\n}|" """,
    "a strange locale": 'iconv -c -f utf-8 -t ascii <<<"$1"',
    "expand": 'expand <<<"$1"',
}
"""How shells and their friends change what they are only to pass on."""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("mangler", _MANGLERS)
def test_what_a_shell_interprets_shows_in_a_record_of_a_log(mangler: str) -> None:
    record = log_record(version_of(1, 2), 60)
    done = subprocess.run(["bash", "-c", _MANGLERS[mangler], "bash", record.rstrip("\n")], capture_output=True)
    assert parse_log(done.stdout)[0] == []
    unharmed = subprocess.run(["bash", "-c", 'printf "%s\n" "$1"', "bash", record.rstrip("\n")], capture_output=True)
    assert unharmed.stdout == record.encode()


def test_whose_parts_a_mixture_is_made_of() -> None:
    one, other = (json.dumps(document_of(version, 60, {})).encode() for version in (version_of(1, 2), version_of(3, 4)))
    assert [name for name, *_ in writers_in(one[:150] + other[100:])] == ["p1.2", "p3.4"]


def test_lengths_vary_from_tens_of_bytes_to_over_64_kib() -> None:
    drawn = [draw_size(random.Random(seed)) for seed in range(3000)]
    assert min(drawn) < 50
    assert max(drawn) > 64 << 10
    assert sorted(drawn)[len(drawn) // 2] < 1000


def test_a_long_one_is_long() -> None:
    drawn = [draw_size(random.Random(seed), long=True) for seed in range(99)]
    assert min(drawn) >= 48 << 10
    assert max(drawn) > 64 << 10
