"""The reckoning of a mutation run: its score, its exit code, and the list of survivors."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.mutation.__main__ import main
from tests.mutation.running import KILLED, ROOT, SURVIVED, TIMED_OUT, UNTRIED, Mutant
from tests.mutation.survivors import LIST, Explained, as_toml, outdated, read_survivors, unexplained
from tests.mutation.targets import TARGETS

MUTANT = Mutant("verdict", "node.some.module", "node.some.module.f", "return a", "return 'it' + \"is\"", SURVIVED)


def report(folder: Path, **fates: int) -> str:
    path = folder / f"{'-'.join(fates)}.json"
    mutants = [replace(MUTANT, fate=fate) for fate, number in fates.items() for _ in range(number)]
    path.write_text(json.dumps([asdict(mutant) for mutant in mutants]), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("fates", "score", "code"),
    [
        ({KILLED: 9, SURVIVED: 1}, "90.0", 0),
        ({KILLED: 8, SURVIVED: 1, TIMED_OUT: 1}, "90.0", 0),
        ({KILLED: 8, SURVIVED: 2}, "80.0", 1),
        ({KILLED: 8, UNTRIED: 2}, "80.0", 1),
    ],
)
def test_the_score_decides(
    fates: dict[str, int], score: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--add", report(tmp_path, **fates)]) == code
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(rf"10 mutants, \d killed, \d survived, \d timeout, score {score} %", last)


def test_reports_add_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--add", report(tmp_path, killed=10), report(tmp_path, survived=1)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == ("11 mutants, 10 killed, 1 survived, 0 timeout, score 90.9 %")


def test_a_target_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--target", "outbix"])
    assert ended.value.code == 2
    assert "outbix" in capsys.readouterr().err


def test_a_survivor_is_printed_as_the_list_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "survivors.toml"
    odd = replace(MUTANT, removed="two\nlines", added="'''")
    path.write_text(
        "\n".join(as_toml(mutant).replace('reason = ""', 'reason = "why"') for mutant in (MUTANT, odd)),
        encoding="utf-8",
    )
    assert [entry.change for entry in read_survivors(path)] == [MUTANT.change, odd.change]


def test_a_survivor_needs_a_reason_and_one_entry(tmp_path: Path) -> None:
    path = tmp_path / "survivors.toml"
    path.write_text(as_toml(MUTANT), encoding="utf-8")
    with pytest.raises(ValueError, match="no reason"):
        read_survivors(path)
    path.write_text(2 * as_toml(MUTANT).replace('reason = ""', 'reason = "why"'), encoding="utf-8")
    with pytest.raises(ValueError, match="twice"):
        read_survivors(path)


def test_what_is_listed_is_explained_until_it_is_gone() -> None:
    entry = Explained(*MUTANT.change, "why")
    elsewhere = Explained("node.other.module.f", "a", "b", "why")
    assert unexplained([MUTANT], [entry]) == []
    assert unexplained([MUTANT], [elsewhere]) == [MUTANT]
    assert outdated([MUTANT], [entry, elsewhere]) == []
    assert outdated([replace(MUTANT, fate=KILLED)], [entry, elsewhere]) == [entry]


def test_the_list_and_the_targets_are_of_this_program() -> None:
    modules = [module for target in TARGETS for module in target.modules]
    assert all((ROOT / module).is_file() for module in modules)
    assert all(
        (ROOT / test.partition("::")[0]).exists() for target in TARGETS for test in (*target.tests, *target.without)
    )
    names = [module.removesuffix(".py").replace("/", ".") for module in modules]
    for entry in read_survivors(LIST):
        assert any(entry.function.startswith(f"{name}.") for name in names), entry.function
