"""Backups have the order in which they were made, whatever their names and the clock say; and each is one file's."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from atomicops import create_backup, list_backups, prune_backups
from tests.atomicops.both import LANGUAGES, Helpers

HELPERS = Helpers()
YEAR_S = 365 * 86400


def back_up(language: str, path: Path, made: int, suffix: str | None = None) -> Path:
    """Write a document that says how-manieth it is, and back it up; the path that it was told."""
    path.write_text(json.dumps({"made": made}))
    given = () if suffix is None else (suffix,)
    done = HELPERS.call(language, "backup", path.name, *given, cwd=path.parent)
    assert (done.code, done.err) == (0, ""), done
    return path.parent / done.out.removesuffix("\n")


def restored(language: str, path: Path) -> int:
    path.write_text("{torn")
    done = HELPERS.call(language, "recover", path.name, cwd=path.parent)
    assert done.code == 0, done
    made = json.loads(path.read_text())["made"]
    assert isinstance(made, int)
    return made


def check_order(path: Path, last: int) -> None:
    """The newest is the one made last, for who recovers, lists and prunes, and for ``ls -lt``."""
    for language in LANGUAGES:
        assert restored(language, path) == last, language
    listed = [json.loads(Path(name).read_text())["made"] for name in list_backups(path)]
    assert listed == sorted(listed, reverse=True)
    by_time = sorted(path.parent.glob(f"{path.name}.*.bak"), key=lambda one: one.stat().st_mtime_ns, reverse=True)
    assert [json.loads(one.read_text())["made"] for one in by_time] == listed
    prune_backups(path, keep=1)
    assert [json.loads(Path(name).read_text())["made"] for name in list_backups(path)] == [last]


SUFFIXES = {
    "a date with its time": ["20261121014301", None],
    "a day": [None, "20261128"],
    "versions and sessions": ["v2.10", "v2.9", "41", "42"],
    "a number of 18 digits, then ours": ["999999999999999999", None],
    "the same again and again": ["same", "same", "same"],
    "counters by hand": ["x.2", "x.1", "x"],
    "far in the future, then ours": ["9999999999", None, None],
    "ten digits that fall, like our own": ["9876543210", "1234567890"],
    "years, months, days, hours and minutes": ["2611280901", None, "2611280800"],
    "a counter like our own": ["2611280901.7", "2611280901.3", "2611280901"],
    "blanks and stars": ["a b", "*", "%n$(x)"],
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("suffixes", SUFFIXES.values(), ids=SUFFIXES)
def test_names_do_not_order(tmp_path: Path, language: str, suffixes: Sequence[str | None]) -> None:
    path = tmp_path / "x.json"
    for made, suffix in enumerate(suffixes):
        back_up(language, path, made, suffix)
    check_order(path, len(suffixes) - 1)


@pytest.mark.parametrize("language", LANGUAGES)
def test_many_within_a_second(tmp_path: Path, language: str) -> None:
    path = tmp_path / "x.json"
    names = [back_up(language, path, made) for made in range(5)]
    assert len(set(names)) == 5
    check_order(path, 4)


@pytest.mark.parametrize("languages", [("python", "bash"), ("bash", "python")])
def test_both_languages_make_one_order(tmp_path: Path, languages: tuple[str, str]) -> None:
    path = tmp_path / "x.json"
    for made in range(4):
        back_up(languages[made % 2], path, made)
    check_order(path, 3)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("ahead_s", [60, YEAR_S, 0.5])
def test_the_clock_was_set_back(tmp_path: Path, language: str, ahead_s: float) -> None:
    """What was made before has a time of the future."""
    path = tmp_path / "x.json"
    for made in range(2):
        name = back_up(language, path, made)
        then = time.time_ns() + int(ahead_s * 1e9) + made
        os.utime(name, ns=(then, then))
        name.rename(path.with_name(f"x.json.{then // 10**9 + made}.bak"))
    back_up(language, path, 2)
    back_up(language, path, 3, "mine")
    check_order(path, 3)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_name_is_above_the_newest_too(tmp_path: Path, language: str) -> None:
    """Where a checkout has taken the times, the names are all that there is to go by."""
    path = tmp_path / "state.json"
    ahead = int(time.time()) + 1000
    path.with_name(f"state.json.{ahead}.bak").write_text("{}")
    assert back_up(language, path, 1).name == f"state.json.{ahead}.1.bak"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_coarse_clock_of_the_file_system(tmp_path: Path, language: str) -> None:
    """Two seconds (FAT): what came before has a whole, even second."""
    path = tmp_path / "x.json"
    for made in range(3):
        name = back_up(language, path, made, f"s{9 - made}")
        coarse = (name.stat().st_mtime_ns // 2_000_000_000 + 1) * 2_000_000_000
        os.utime(name, ns=(coarse, coarse))
    back_up(language, path, 3, "s1")
    check_order(path, 3)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_counter_that_was_pruned_is_not_given_again(tmp_path: Path, language: str) -> None:
    """Its name would read as that of an earlier one."""
    path = tmp_path / "x.json"
    made = [back_up(language, path, number, "1800000000") for number in range(3)]
    made[0].unlink()
    made[1].unlink()
    assert back_up(language, path, 3, "1800000000").name == "x.json.1800000000.3.bak"
    check_order(path, 3)


@pytest.mark.parametrize("locale", ["de_DE.UTF-8", "C", "tr_TR.UTF-8", "nonsense"])
def test_the_locale_does_not_order(tmp_path: Path, locale: str) -> None:
    helpers = Helpers(env={"LC_ALL": locale, "LC_NUMERIC": locale, "LANG": locale})
    path = tmp_path / "x.json"
    for made, suffix in enumerate(("b", "a", "Ä")):
        path.write_text(json.dumps({"made": made}))
        assert helpers.call("bash", "backup", "x.json", suffix, cwd=tmp_path).code == 0
    path.write_text("{torn")
    assert helpers.call("bash", "recover", "x.json", cwd=tmp_path).code == 0
    assert json.loads(path.read_text()) == {"made": 2}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_checkout_gives_all_the_same_time(tmp_path: Path, language: str) -> None:
    """Then our own names, seconds and counter, are all there is to tell them apart; and recover says so."""
    path = tmp_path / "x.json"
    for made, name in enumerate(("1700000000", "1700000000.1", "1700000001", "1700000001.2", "1700000001.10")):
        copy = tmp_path / f"x.json.{name}.bak"
        copy.write_text(json.dumps({"made": made}))
        os.utime(copy, (1_800_000_000, 1_800_000_000))
    path.write_text("{torn")
    done = HELPERS.call(language, "recover", path.name, cwd=tmp_path)
    assert json.loads(path.read_text()) == {"made": 4}
    assert done.out.splitlines()[2] == "  the newest by its name, for the backups' modification times say nothing"
    assert [json.loads(Path(name).read_text())["made"] for name in list_backups(path)] == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_checkout_gives_times_in_any_order(tmp_path: Path, language: str) -> None:
    """They contradict the seconds in our own names, so they say nothing either."""
    path = tmp_path / "x.json"
    for made, written_s in enumerate((3, 1, 4, 2)):
        copy = tmp_path / f"x.json.170000000{made}.bak"
        copy.write_text(json.dumps({"made": made}))
        os.utime(copy, (1_800_000_000 + written_s, 1_800_000_000 + written_s))
    path.write_text("{torn")
    done = HELPERS.call(language, "recover", path.name, cwd=tmp_path)
    assert json.loads(path.read_text()) == {"made": 3}
    assert done.out.splitlines()[1:3] == [
        "  restored from x.json.1700000003.bak",
        "  the newest by its name, for the backups' modification times say nothing",
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_name_that_would_make_it_another_files_is_refused(tmp_path: Path, language: str) -> None:
    for name in ("x.json", "x.json.v2"):
        (tmp_path / name).write_text("1")
    for suffix in ("v2", "v2.1"):
        done = HELPERS.call(language, "backup", "x.json", suffix, cwd=tmp_path)
        assert (done.code, done.refused) == (65, True), done
        assert done.err.endswith("; choose another suffix\n")
    assert not list(tmp_path.glob("*.bak"))


OTHERS = ["x.json.emergency", "x.json.a.b", "x.json.1700000000", "x.json.old.json"]


@pytest.mark.parametrize("by", ["file", "lock"])
@pytest.mark.parametrize("other", OTHERS)
def test_a_backup_of_another_file(tmp_path: Path, other: str, by: str) -> None:
    """``x.json.emergency.1.bak`` reads as a backup of either; the other file, or its lock, says whose it is."""
    path = tmp_path / "x.json"
    back_up("python", path, 1)
    back_up("python", tmp_path / other, 100)
    if by == "lock":
        (tmp_path / other).unlink()
        assert (tmp_path / f".{other}.lock").exists()
    assert all("made" in Path(name).read_text() for name in list_backups(path))
    assert [json.loads(Path(name).read_text())["made"] for name in list_backups(path)] == [1]
    assert [json.loads(Path(name).read_text())["made"] for name in list_backups(tmp_path / other)] == [100]
    for language in LANGUAGES:
        assert restored(language, path) == 1, language
    prune_backups(path, 0)
    assert len(list_backups(tmp_path / other)) == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_other_files_backups_give_no_time(tmp_path: Path, language: str) -> None:
    """Their times are not this file's order: a backup of the other from the future changes nothing here."""
    path, other = tmp_path / "x.json", tmp_path / "x.json.emergency"
    far = back_up("python", other, 100)
    os.utime(far, (time.time() + YEAR_S, time.time() + YEAR_S))
    made = back_up(language, path, 1)
    assert made.stat().st_mtime < time.time() + YEAR_S / 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_invalid_newest_is_passed_over_and_said(tmp_path: Path, language: str) -> None:
    path = tmp_path / "x.json"
    back_up(language, path, 1, "good")
    time.sleep(0.01)
    (tmp_path / "x.json.bad.bak").write_text("{torn too")
    path.write_text("{torn")
    done = HELPERS.call(language, "recover", "x.json", cwd=tmp_path)
    assert (done.code, json.loads(path.read_text())) == (0, {"made": 1})
    assert "x.json.bad.bak" in done.out


def test_the_path_that_is_told_is_the_truth(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    names = [create_backup(tmp_path / "x", "s") for _ in range(3)]
    assert len(set(names)) == 3
    assert all(Path(name).read_text() == "1" for name in names)
    assert set(list_backups(tmp_path / "x")) == set(names)
