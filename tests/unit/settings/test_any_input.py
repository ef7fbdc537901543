"""Whatever is given as settings: they load, or `InvalidInput` says why."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from node.domain.errors import InputFault, InvalidInput
from node.settings.catalogue import catalogue
from node.settings.explain import toml_value
from node.settings.load import load
from node.settings.policies import to_policies
from node.settings.provenance import effective

VARIABLES = st.one_of(
    st.sampled_from([name for info in catalogue().values() for name in info.env_names]),
    st.text(max_size=5).map("LLM_NODE_{}__X".format),
    st.sampled_from(["LLM_NODE_PROFILE", "LLM_NODE_CONFIG"]),
)
SCALARS = st.one_of(
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["true", "http://x", "https://u:p@x", "http://[", "a,b", "stored,ollama", "5m", "1e400", "\udcff"]),
)
LITERALS = st.one_of(
    st.integers(),
    st.floats(),
    st.booleans(),
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.lists(st.text("ab,", max_size=3), max_size=3),
)
STATEMENTS = st.one_of(
    st.tuples(st.sampled_from(list(catalogue())), LITERALS).map(lambda pair: f"{pair[0]} = {toml_value(pair[1])}"),
    st.text(st.characters(codec="utf-8"), max_size=15),
    st.sampled_from(["[node]", "[[node]]", "[a.b]", "node = 1", "slots = 1979-05-27", "gateway = {url = []}"]),
)


def _check(folder: str, flags: dict[str, object], environ: dict[str, str]) -> None:
    faults: tuple[InputFault, ...] | None = None
    try:
        loaded = load(config_file=None, profile=None, flags=flags, environ=environ, cwd=Path(folder))
        to_policies(loaded.settings)
        assert all(one.value.encode() for one in effective(loaded))
    except InvalidInput as error:
        faults = error.faults
    if faults is not None:
        assert faults
        assert all(fault.place and fault.problem and fault.remedy and str(fault).encode() for fault in faults)


@given(environ=st.dictionaries(VARIABLES, SCALARS, max_size=6), flags=st.dictionaries(VARIABLES, SCALARS, max_size=2))
def test_any_variables_and_flags(environ: dict[str, str], flags: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _check(folder, flags, environ)


@given(
    toml=st.one_of(st.lists(STATEMENTS, max_size=5).map(lambda lines: "\n".join(lines).encode()), st.binary()),
    dotenv=st.one_of(st.lists(st.tuples(VARIABLES, SCALARS).map("=".join)).map("\n".join), st.text(max_size=30)),
)
def test_any_files(toml: bytes, dotenv: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "node.toml").write_bytes(toml)
        (Path(folder) / ".env").write_bytes(dotenv.encode(errors="surrogatepass"))
        _check(folder, {}, {})
