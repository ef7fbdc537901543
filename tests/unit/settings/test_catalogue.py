"""What settings say about themselves."""

from __future__ import annotations

import pytest

from node.settings.catalogue import SettingInfo, catalogue, sections

INFOS = list(catalogue().values())


@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.name)
def test_a_setting_explains_itself(info: SettingInfo) -> None:
    assert info.description[0].isupper()
    assert info.description.rstrip().endswith((".", "json"))
    if info.key.endswith("_s") and not info.key.endswith("per_s"):
        assert info.unit == "seconds"
        assert info.high is not None
    if info.kind in {"whole number", "number"}:
        assert isinstance(info.default, int | float)
        assert info.low is not None
        assert info.high is not None
        assert info.low <= info.default <= info.high


def test_names_are_single() -> None:
    variables = [name for info in INFOS for name in info.env_names]
    flags = [info.flag for info in INFOS if info.flag]
    assert len(set(variables)) == len(variables)
    assert len(set(flags)) == len(flags)


def test_every_section_says_what_it_is_about() -> None:
    assert all(sections().values())
    assert {info.section for info in INFOS} == {"", *sections()}
