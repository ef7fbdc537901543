"""What is wrong is told all at once, with its place and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.settings.conftest import Faults, Load


def test_everything_wrong_in_all_sources_is_told_at_once(faults_here: Faults, tmp_path: Path) -> None:
    (tmp_path / "profile.toml").write_text("[node]\nrefusals = 0\n", encoding="utf-8")
    faults = faults_here(
        toml='colour = "blue"\n[node]\nslots = 0\npoll_cycle = 3\n\n[ollama]\nurl = "nowhere"\n',
        profile="profile.toml",
        dotenv="LLM_NODE_RETRY__ATTEMPTS=often\n",
        environ={"MIN_START_DELAY": "9", "LLM_NODE_LOGGING__LEVL": "info"},
        flags={"--log-level": "loud", "node.sluts": 1},
    )
    assert {(fault.place, fault.line, fault.column) for fault in faults} == {
        ("config/node.toml", 1, None),
        ("config/node.toml", 3, "node.slots"),
        ("config/node.toml", 4, None),
        ("config/node.toml", 7, "ollama.url"),
        ("profile.toml", 2, "node.refusals"),
        (".env", 1, "retry.attempts"),
        ("environment MIN_START_DELAY", None, "fleet.min_start_delay_s"),
        ("environment LLM_NODE_LOGGING__LEVL", None, None),
        ("--log-level", None, "logging.level"),
        ("command line", None, None),
    }
    assert all(fault.problem and fault.remedy for fault in faults)


def test_a_fault_reads_well(faults_here: Faults) -> None:
    (fault,) = faults_here(toml="[node]\n\nslots = 0\n")
    assert str(fault) == (
        "config/node.toml:3 [node.slots]: 0: should be greater than or equal to 1"
        " — give a whole number, 1 to 256; the default is 1"
    )


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("node.slots", "2.5", "give a whole number, 1 to 256"),
        ("node.slots", "true", "give a whole number"),
        ("node.poll_cycle_s", "nan", "give a number of seconds, 0.05 to 3600"),
        ("node.poll_cycle_s", "inf", "give a number of seconds"),
        ("node.poll_cycle_s", '"fast"', "give a number of seconds"),
        ("node.poll_cycle_s", "true", "give a number of seconds"),
        ("node.poll_jitter", "1.5", "give a number, 0 to 1"),
        ("fleet.strict", '"perhaps"', "give true or false"),
        ("logging.level", '"loud"', "give one of debug, info, warning, error"),
        ("executors.order", '["stored", "magic"]', "give a list of stored, ollama, synthetic"),
        ("executors.order", "[]", "give a list"),
        ("executors.order", '["stored", "stored"]', "list each executor once"),
        ("gateway.url", '"ftp://x"', "correct it"),
        ("gateway.url", '"http://[::1"', "correct it"),
        ("gateway.url", '"http://x?y=1"', "correct it"),
        ("gateway.url", '"http://x y"', "correct it"),
        ("gateway.owned", '["http://a", "b"]', "give a list"),
        ("gateway.node_version", "4", "correct it"),
        ("gateway.ca_file", '"missing.pem"', "PEM"),
        ("ollama.keep_alive", '"300"', "correct it"),
        ("fleet.roster", '""', "give the path"),
        ("fleet.roster", "3", "give the path"),
        ("sandbox.port", "70000", "0 to 65535"),
    ],
)
def test_a_bad_value_is_told_with_its_line_and_what_it_should_be(
    faults_here: Faults, name: str, value: str, advice: str
) -> None:
    section, _, key = name.partition(".")
    (fault,) = faults_here(toml=f"# first line\n[{section}]\n{key} = {value}\n")
    assert (fault.place, fault.line, fault.column) == ("config/node.toml", 3, name)
    assert advice in fault.remedy


@pytest.mark.parametrize(
    ("toml", "hint"),
    [
        ("[node]\nslot = 1", "did you mean node.slots?"),
        ("[gatewy]\nurl = 'x'", "did you mean [gateway]?"),
        ("[node]\nmin_start_delay_s = 1", "fleet.min_start_delay_s"),
        ("[workload]\nconcurrency = 1", "executors.concurrency"),
        ("[node]\nzzzzzzzz = 1", "remove it"),
        ("stat_dir = 1", "did you mean state_dir?"),
        ("slots = 1", "remove it"),
        ("gateway = 'http://x'", "write [gateway]"),
        ("[[gateway]]\nurl = 'x'", "write [gateway]"),
        ("[node.slots]\nx = 1", ""),
    ],
)
def test_unknown_and_misplaced_keys_are_faults_with_a_suggestion(faults_here: Faults, toml: str, hint: str) -> None:
    (fault,) = faults_here(toml=toml)
    assert fault.place == "config/node.toml"
    assert fault.line in {1, 2}
    assert hint in fault.remedy


def test_a_weaker_bad_value_below_a_bad_one_is_told_too(faults_here: Faults) -> None:
    faults = faults_here(toml="[node]\nslots = 0\n", environ={"LLM_NODE_NODE__SLOTS": "none"})
    assert [fault.place for fault in faults] == ["environment LLM_NODE_NODE__SLOTS", "config/node.toml"]


def test_two_bad_items_of_a_list_are_one_fault_that_names_an_item(faults_here: Faults) -> None:
    (fault,) = faults_here(flags={"gateway.owned": ["one", "two"]})
    assert fault.problem.startswith("'one'")


@pytest.mark.parametrize(
    ("text", "line"),
    [("[node\n", 1), ("a = 1\na = 2\n", 2), ("x = \n", 1), ('x = """never closed\n', 1)],
)
def test_a_file_that_is_not_toml_is_one_fault_beside_the_others(faults_here: Faults, text: str, line: int) -> None:
    first, second = faults_here(toml=text, environ={"LLM_NODE_NODE__SLOTS": "none"})
    assert (first.place, first.line) == ("config/node.toml", line)
    assert first.problem.startswith("not TOML: ")
    assert second.place == "environment LLM_NODE_NODE__SLOTS"


def test_files_that_cannot_be_read_are_faults(faults_here: Faults, tmp_path: Path) -> None:
    (tmp_path / "utf16.toml").write_bytes("[node]".encode("utf-16"))
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9\n")
    (tmp_path / "folder").mkdir()
    for name, problem in {
        "utf16.toml": "UTF-16",
        "latin.toml": "not UTF-8",
        "folder": "a folder",
        "nul\0": "cannot be read",
        "utf16.toml/below": "cannot be read",
    }.items():
        (fault,) = faults_here(config_file=Path(name))
        assert problem in fault.problem


def test_a_mark_at_the_beginning_and_line_ends_of_windows_are_taken(load_here: Load, tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_bytes(b"\xef\xbb\xbf[node]\r\nslots = 3\r\n")
    loaded = load_here()
    assert loaded.settings.node.slots == 3
    assert loaded.origins["node.slots"].line == 2
