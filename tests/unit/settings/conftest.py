"""Loading settings in a folder of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from node.domain.errors import InputFault, InvalidInput
from node.settings.load import Loaded, load

Load = Callable[..., Loaded]
Faults = Callable[..., tuple[InputFault, ...]]


@pytest.fixture
def load_here(tmp_path: Path) -> Load:
    """Load settings in an empty folder, with a settings file and a ``.env`` of the given text."""

    def run(
        *,
        toml: str = "",
        dotenv: str = "",
        flags: Mapping[str, object] | None = None,
        environ: Mapping[str, str] | None = None,
        profile: str | None = None,
        config_file: Path | None = None,
    ) -> Loaded:
        if toml:
            (tmp_path / "config").mkdir(exist_ok=True)
            (tmp_path / "config" / "node.toml").write_text(toml, encoding="utf-8")
        if dotenv:
            (tmp_path / ".env").write_text(dotenv, encoding="utf-8")
        return load(config_file=config_file, profile=profile, flags=flags or {}, environ=environ or {}, cwd=tmp_path)

    return run


@pytest.fixture
def faults_here(load_here: Load) -> Faults:
    """Load settings that are not usable, and tell what is wrong with them."""

    def run(**given: object) -> tuple[InputFault, ...]:
        with pytest.raises(InvalidInput) as caught:
            load_here(**given)
        return caught.value.faults

    return run
