"""What is JSON for the Bash helpers, against json.loads; and which JSON jq would change.

``ATOMICOPS_TEST_LONG=1``: eighty times as many documents.
"""

import json
import subprocess
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.atomicops.both import LONG

PROGRAM = Path(__file__).parents[2] / "atomicops" / "shell" / "atomicops.pl"

# Documents come with their lengths, so that any bytes may be in them. One answer a line: y or n or unsure, and whether
# jq keeps it. The program ends after an operation that does nothing; then its functions are there.
DRIVER = r"""
BEGIN { *CORE::GLOBAL::exit = sub { die "end\n" } }
$0 = shift; @ARGV = ("no-such-machine", "release", 99); eval { require $0 }; die $@ if $@ !~ /^end\n/;
binmode STDIN; my $all = do { local $/; <STDIN> };
while (length $all) {
    my $n = unpack "N", substr $all, 0, 4, "";
    my $document = substr $all, 0, $n, "";
    my $why = why_not_json($document);
    print $unsure ? "unsure" : $why eq "" ? "y" : "n", $why eq "" && lost_by_jq($document) eq "" ? "k" : "", "\n";
}
"""


def refuse_constant(name: str) -> None:
    raise ValueError(name)


def is_json(document: bytes) -> bool:
    """One value by RFC 8259, as Python's own reader sees it, behind at most one byte order mark; NaN is none."""
    try:
        text = document.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
        json.loads(text, parse_constant=refuse_constant, parse_int=str)
    except ValueError:
        return False
    return not text.startswith("\ufeff")


def by_perl(documents: list[bytes]) -> list[str]:
    data = b"".join(len(document).to_bytes(4, "big") + document for document in documents)
    answer = subprocess.run(["perl", "-e", DRIVER, PROGRAM], input=data, capture_output=True, check=True)
    assert answer.stderr == b""
    return answer.stdout.decode().split()


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


@settings(max_examples=250 if LONG else 3, deadline=None, derandomize=not LONG, suppress_health_check=list(HealthCheck))
@given(st.lists(documents(), min_size=60, max_size=120))
def test_it_is_what_python_takes(many: list[bytes]) -> None:
    for document, said in zip(many, by_perl(many), strict=True):
        assert said[0] == ("y" if is_json(document) else "n"), document


def test_the_corners() -> None:
    good = [
        b"0", b"-0", b"1E+2", b'"\\ud800"', b'"\\u0000"', b'"\x7f"', b" {} ", b'{"a":1,"a":2}', '"\U0010ffff"'.encode(),
        b"\xef\xbb\xbf[]", b'{"\\"":[]}', b"9" * 5000,
    ]  # fmt: skip
    bad = [
        b"", b" ", b"00", b"-", b"+1", b"1.", b".1", b"1e", b'"\\x"', b'"\\u12g4"', b'"\t"', b"[1,]", b"[,1]", b'{"a"}',
        b'{"a":}', b"{1:2}", b'{"a":1,}', b"]", b"[}", b"nul", b"1 2", b"\xef\xbb\xbf", b"\xef\xbb\xbf\xef\xbb\xbf1",
        b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe0\x80\x80"', b'"\xff"', b"\x0b1", b"\xc2\xa01",
        b"1\0", b"[", b"[" * 500, b'"\xc3"', b'"\xf5\x80\x80\x80"',
    ]  # fmt: skip
    assert all(map(is_json, good))
    assert not any(map(is_json, bad))
    assert [said[0] for said in by_perl(good)] == ["y"] * len(good)
    assert by_perl(bad) == ["n"] * len(bad)


def test_depth_and_length_have_no_bad_surprise() -> None:
    """Up to 10,000 levels, and nothing deeper is called corrupt; no limit of Perl's regular expressions."""
    deepest, deeper = (b"[" * n + b"]" * n for n in (10_000, 10_001))
    mixed = b'{"a":[' * 5000 + b"]}" * 5000
    long = b"[" + b'{"a": [1, 2]},\n' * 60_000 + b"0]"
    escapes = [b'"' + part * 70_000 + b'"' for part in (b"\\n", "é".encode(), b"a\\u00e9", b"\\\\")]
    many = [deepest, deepest[:-1], deeper, mixed, long, long[:-1], *escapes]
    assert [said[0] for said in by_perl(many)] == ["y", "n", "u", "y", "y", "n", "y", "y", "y", "y"]


def test_what_jq_would_change() -> None:
    kept = [
        b'{"a":1,"b":{"a":2}}', b'[{"a":1},{"a":1}]', b'{"a":"a","aa":["a","a"]}', b'"\\ud83d\\ude00"', b'"\\\\ud800"',
        b'{"\\\\u0061":1,"a":2}', b"-1.5e-7", b"0.30000000000000004", b"9006999999999999", b"[true,false,null]",
    ]  # fmt: skip
    lost = [
        b'{"a":1,"a":2}', b'{"a":1,"b":{},"\\u0061":2}', b'[{"x":{"a":1, "a" :1}}]', b'{"\\/":1,"/":2}', b'"\\ud800"',
        b'"\\udc00\\ud800"', b'{"\\ud83d":1}', b"9007199254740993", b"1e400", b"[1.2345678901234567890]",
        b'{"\\ud83d\\ude00":1,"\xf0\x9f\x98\x80":2}',
    ]  # fmt: skip
    assert by_perl(kept) == ["yk"] * len(kept)
    assert by_perl(lost) == ["y"] * len(lost)


@settings(max_examples=150 if LONG else 3, deadline=None, derandomize=not LONG)
@given(st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 2**70), min_size=100))
def test_numbers_that_jq_may_have_are_numbers_that_jq_keeps(numbers: list[int | float]) -> None:
    many = [json.dumps(number).encode() for number in numbers]
    allowed = [number for number, said in zip(many, by_perl(many), strict=True) if said == "yk"]
    refused = {number for number in many if number not in allowed}
    kept = subprocess.run(["jq", "-c", "."], input=b"\n".join(allowed), capture_output=True, check=True).stdout.split()
    sure = by_perl(kept)  # what jq wrote is looked at too, before it gets anywhere
    for before, after, said in zip(allowed, kept, sure, strict=True):
        assert said != "yk" or json.loads(before) == json.loads(after)
    for number in refused:  # nothing of every day: no float of a usual size, no integer below 9e15
        value = json.loads(number)
        assert abs(value) > 9.006e15 if isinstance(value, int) else not 1e-280 < abs(value) < 1e280
