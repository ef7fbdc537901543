"""README.md and CONTRIBUTING.md show what works."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.deploy.test_names import resolve
from tests.deploy.tools import ROOT

README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
PAGES = README + CONTRIBUTING


def command_lines() -> list[str]:
    in_blocks = re.findall(r"^\$ python main\.py\b([^#\n]*)", README, re.MULTILINE)
    return [line.strip() for line in (*in_blocks, *re.findall(r"`python main\.py ([^`]*)`", README))]


@pytest.mark.parametrize("line", sorted(set(command_lines())))
def test_every_command_line_is_one_of_ours(line: str) -> None:
    words = shlex.split(line)
    assert not resolve(words if words and not words[0].startswith("-") else ["simulate", *words])


def test_all_commands_of_a_node_in_production_are_shown() -> None:
    assert {"doctor", "node", "status", "gateway", "submit"} <= {line.split(" ")[0] for line in command_lines()}


def test_targets_that_are_named_exist() -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)\b(?=`|\s+#|$)", PAGES, re.MULTILINE))
    assert {"simulate", "test", "check"} <= named
    assert named <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", PAGES))))
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


def test_what_tests_need_is_what_ci_installs() -> None:
    ci = (ROOT / ".ci/run").read_text()
    (packages,) = re.findall(r"^packages=\((.*)\)$", ci, re.MULTILINE)
    (extras,) = re.findall(r"^export EXTRAS=dev,(.*)$", ci, re.MULTILINE)
    (apt,) = re.findall(r"apt-get install --no-install-recommends (.*)$", CONTRIBUTING, re.MULTILINE)
    told = set(apt.split())
    assert told <= set(packages.split())
    assert told >= {"prometheus", "systemd", "tinyproxy", "microsocks"}
    assert f".[{extras}]" in CONTRIBUTING
