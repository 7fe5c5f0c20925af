"""A note comes back from a journal and from a file of JSON as it was, and what is no note is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.history.notes import (
    BackupNote,
    ErrorNote,
    LogDelta,
    Note,
    ReturnedDocument,
    SeenBytes,
    data_of,
    decode,
    encode,
    from_plain,
    to_plain,
    without_data,
    words_of,
)

words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
counts = st.integers(0, 1 << 40)
notes: st.SearchStrategy[Note] = st.one_of(
    st.builds(ErrorNote, words),
    st.builds(LogDelta, counts, st.binary(), counts),
    st.builds(BackupNote, words, words, st.binary(), counts),
    st.builds(SeenBytes, st.binary(), words, counts),
    st.builds(ReturnedDocument, st.binary(), counts),
)


@given(notes)
def test_a_note_comes_back_as_it_was(note: Note) -> None:
    assert decode(encode(note)) == note
    assert from_plain(json.loads(json.dumps(to_plain(note)))) == note


@given(notes)
def test_what_is_not_kept_of_it_is_counted(note: Note) -> None:
    rest = without_data(note)
    assert data_of(rest) == b""
    assert words_of(rest) == words_of(note)
    if not isinstance(rest, ErrorNote) and not isinstance(note, ErrorNote):
        assert rest.dropped == note.dropped + len(note.data)


def test_words_can_not_end_a_field() -> None:
    assert decode(encode(BackupNote("a\0b", "\0"))) == BackupNote("a?b", "?")
    assert words_of(decode(encode(ErrorNote("\ud800")))) == "\\ud800"


@pytest.mark.parametrize("blob", [b"", b"\1", b"\xff" + bytes(30), bytes(17), encode(ErrorNote("x"))[:-1]])
def test_bytes_that_are_no_note_are_refused(blob: bytes) -> None:
    with pytest.raises(ValueError, match="no note of a journal"):
        decode(blob)
