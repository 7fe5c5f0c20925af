"""The grammar that decides what is JSON, against json.loads: as Perl, as PCRE in grep, and Perl's loop."""

import json
import subprocess
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SHELL = Path(__file__).parents[2] / "atomicops" / "shell"

# Documents come with their lengths, so that any bytes may be in them; one answer a line, y or n.
PERL = r"""
$re = shift; $string = shift; $number = shift; eval shift; die $@ if $@;
binmode STDIN; local $/; my $all = <STDIN>;
while (length $all) {
    my $n = unpack "N", substr $all, 0, 4, "";
    my $document = substr $all, 0, $n, "";
    my $good = index($document, "\0") < 0;
    print $good && $document =~ /$re/ ? "y" : "n", $good && walk($document) ? "y" : "n", "\n";
}
"""
REGULAR_EXPRESSIONS = f"source '{SHELL}/atomicops.sh'; _ao_grammar \"$_ao_number\"; "


def parts() -> list[str]:
    text = subprocess.check_output(
        ["bash", "-c", REGULAR_EXPRESSIONS + r'printf "%s\n\f" "$_ao_json_re" "$_ao_string" "$_ao_number" '
         '"$_ao_program_rest" "$_ao_safe_number"; _ao_grammar "$_ao_safe_number"; printf "%s\n\f" "$_ao_json_re"'],
        text=True,
    )  # fmt: skip
    return [part[:-1] for part in text.split("\f")[:-1]]


EXPRESSION, STRING, NUMBER, PROGRAM, SAFE_NUMBER, SAFE_EXPRESSION = parts()


def refuse_constant(name: str) -> None:
    raise ValueError(name)


def is_json(document: bytes) -> bool:
    """One value by RFC 8259, as Python's own reader sees it; NaN and a byte order mark are none."""
    try:
        json.loads(document.decode("utf-8"), parse_constant=refuse_constant, parse_int=str)
    except ValueError:
        return False
    return True


def by_perl(documents: list[bytes], expression: str = EXPRESSION, number: str = NUMBER) -> list[str]:
    data = b"".join(len(document).to_bytes(4, "big") + document for document in documents)
    answer = subprocess.run(
        ["perl", "-e", PERL, "--", expression, STRING, number, PROGRAM],
        input=data, capture_output=True, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}, check=True,
    )  # fmt: skip
    return answer.stdout.decode().split()


def by_grep(documents: list[bytes]) -> list[bool]:
    """-z makes a record of what is between NULs; -b tells which records match by where they start."""
    answer = subprocess.run(
        ["grep", "-zPbao", "-e", EXPRESSION],
        input=b"\0".join(documents) + b"\0", capture_output=True, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert answer.returncode in (0, 1), answer.stderr
    starts = {int(record.split(b":", 1)[0]) for record in answer.stdout.split(b"\0") if record}
    at = 0
    said = []
    for document in documents:
        said.append(at in starts)
        at += len(document) + 1
    return said


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.text(alphabet='"\\/\b\f\n\r\t\x00\x1f\x7f\x80é\ud800\udfff\U0001f600', max_size=6),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
)
spaces = st.text(alphabet=" \t\n\r", max_size=3).map(str.encode)
tokens = st.sampled_from(
    ["{", "}", "[", "]", ",", ":", '"', "\\", "\\u", "0", "-", "+", ".", "e", "E", "1", "01", "NaN", "Infinity", "true",
     "nul", "null", '"a"', "\ufeff", "\x0b", "\xa0", "//", "'", "é"]
).map(lambda text: text.encode())  # fmt: skip


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Mostly JSON; often with some bytes of it changed; sometimes tokens in any order."""
    if draw(st.integers(0, 9)) == 0:
        return b"".join(draw(st.lists(tokens, max_size=8)))
    value = draw(values)
    ascii_only = draw(st.booleans())
    text = json.dumps(value, ensure_ascii=ascii_only, indent=draw(st.sampled_from([None, 1])))
    document = draw(spaces) + text.encode("utf-8", "surrogatepass") + draw(spaces)
    for _ in range(draw(st.integers(0, 2)) if draw(st.booleans()) else 0):
        at = draw(st.integers(0, len(document)))
        replacement = draw(tokens | st.binary(max_size=2))
        document = document[:at] + replacement + document[at + draw(st.integers(0, 2)) :]
    return document


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(documents(), min_size=60, max_size=120))
def test_the_grammar_is_pythons(many: list[bytes]) -> None:
    expected = [is_json(document) for document in many]
    for document, right, said in zip(many, expected, by_perl(many), strict=True):
        assert said == ("yy" if right else "nn"), document
    without_nul = [(document, right) for document, right in zip(many, expected, strict=True) if b"\0" not in document]
    said_by_grep = by_grep([document for document, _ in without_nul])
    for (document, right), answer in zip(without_nul, said_by_grep, strict=True):
        assert answer == right, document


def test_the_corners() -> None:
    good = [
        b"0",
        b"-0",
        b"1E+2",
        b'"\\ud800"',
        b'"\\u0000"',
        b'"\x7f"',
        b" {} ",
        b'{"a":1,"a":2}',
        '"\U0010ffff"'.encode(),
    ]
    bad = [
        b"", b" ", b"00", b"-", b"+1", b"1.", b".1", b"1e", b'"\\x"', b'"\\u12g4"', b'"\t"', b"[1,]", b"[,1]", b'{"a"}',
        b'{"a":}', b"{1:2}", b'{"a":1,}', b"]", b"[}", b"nul", b"1 2", b"\xef\xbb\xbf1", b'"\xed\xa0\x80"',
        b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe0\x80\x80"', b'"\xff"', b"\x0b1", b"\xc2\xa01", b"1\0", b"[",
        b"[" * 500,
    ]  # fmt: skip
    assert all(map(is_json, good))
    assert not any(map(is_json, bad))
    assert by_perl(good) == ["yy"] * len(good)
    assert by_perl(bad) == ["nn"] * len(bad)
    assert by_grep(good) == [True] * len(good)
    assert by_grep([b for b in bad if b"\0" not in b]) == [False] * (len(bad) - 1)


def test_depth_and_length_have_no_bad_surprise() -> None:
    deep = b"[" * 3000 + b"]" * 3000
    long = b"[" + b'{"a": [1, 2]},\n' * 60_000 + b"0]"
    assert by_perl([deep, deep[:-1]]) == ["yy", "nn"]
    assert [answer[1] for answer in by_perl([long, long[:-1], b"[" * 100_000 + b"]" * 100_000])] == ["y", "n", "y"]
    assert by_grep([long, long[:-1]]) == [True, False]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 2**70), min_size=100))
def test_numbers_that_jq_may_have_are_numbers_that_jq_keeps(numbers: list[int | float]) -> None:
    many = [json.dumps(number).encode() for number in numbers]
    allowed = [n for n, said in zip(many, by_perl(many, SAFE_EXPRESSION, SAFE_NUMBER), strict=True) if said == "yy"]
    refused = {n for n in many if n not in allowed}
    kept = subprocess.run(["jq", "-c", "."], input=b"\n".join(allowed), capture_output=True, check=True).stdout.split()
    sure = by_perl(kept, SAFE_EXPRESSION, SAFE_NUMBER)  # what jq wrote is looked at too, before it gets anywhere
    for before, after, said in zip(allowed, kept, sure, strict=True):
        assert said != "yy" or json.loads(before) == json.loads(after)
    for number in refused:  # nothing of every day: no float of a usual size, no integer below 9e15
        value = json.loads(number)
        assert abs(value) > 9.006e15 if isinstance(value, int) else not 1e-280 < abs(value) < 1e280
