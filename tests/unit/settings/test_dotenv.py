"""The .env file."""

from __future__ import annotations

from pathlib import Path

from tests.unit.settings.conftest import Faults, Load


def test_values_are_taken_as_they_stand(load_here: Load) -> None:
    text = (
        "\n# a comment\nexport LLM_NODE_GATEWAY__NODE_VERSION='1 $HOME ${PATH}'\n"
        'LLM_NODE_NODE__SLOTS="3"  # quoted\nUNRELATED=1\nBARE\nLLM_NODE_STATE_DIR=one\nLLM_NODE_STATE_DIR=two\n'
    )
    loaded = load_here(dotenv=text)
    assert loaded.settings.gateway.node_version == "1 $HOME ${PATH}"
    assert loaded.settings.node.slots == 3
    assert loaded.settings.state_dir == Path("two")
    assert str(loaded.origins["gateway.node_version"]) == ".env:3 LLM_NODE_GATEWAY__NODE_VERSION"
    assert str(loaded.origins["state_dir"]) == ".env:8 LLM_NODE_STATE_DIR"


def test_a_key_over_several_lines(load_here: Load) -> None:
    pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----"
    loaded = load_here(dotenv=f'LLM_NODE_GATEWAY__JWT_KEY="{pem}"\nLLM_NODE_NODE__SLOTS=2\n')
    assert loaded.settings.gateway.jwt_key.reveal() == pem
    assert loaded.origins["node.slots"].line == 4


def test_unreadable_lines_and_bad_values_are_faults_with_their_line(faults_here: Faults) -> None:
    faults = faults_here(dotenv="LLM_NODE_NODE__SLOTS=many\n\n'unclosed\nLLM_NODE_NODE__SLOT=1\n")
    assert [(fault.place, fault.line) for fault in faults] == [(".env", 3), (".env", 4), (".env", 1)]


def test_a_file_that_is_not_utf8_is_a_fault(faults_here: Faults, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=1\nLLM_NODE_NODE__SLOTS=\xff\n")
    (fault,) = faults_here()
    assert (fault.place, fault.line) == (".env", 2)
