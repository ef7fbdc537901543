"""Effective values and where each was written."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from node.domain.toml_lines import KeyPath, key_lines
from node.settings.catalogue import catalogue
from node.settings.provenance import effective
from tests.unit.settings.conftest import Load


def test_every_kind_of_origin_is_named(load_here: Load, tmp_path: Path) -> None:
    (tmp_path / "extra.toml").write_text("[node]\nrefusals = 4\n", encoding="utf-8")
    loaded = load_here(
        toml='# settings\n\nstate_dir = "here"\n\n[node]\nslots = 2\n\n[stored]\nfiles = [\n  "a.csv",\n]\nvariation = 0\n',
        profile="extra.toml",
        dotenv="\nLLM_NODE_RETRY__ATTEMPTS=7\n",
        environ={"API_GATEWAY_URL": "https://g.example"},
        flags={"--log-level": "debug", "workload.jobs_per_s": "1"},
    )
    shown = {one.info.name: (one.value, str(one.origin), one.changed) for one in effective(loaded)}
    assert shown["state_dir"] == ('"here"', "config/node.toml:3", True)
    assert shown["node.slots"] == ("2", "config/node.toml:6", True)
    assert shown["stored.files"] == ('["a.csv"]', "config/node.toml:9", True)
    assert shown["stored.variation"] == ("0", "config/node.toml:12", False)
    assert shown["node.refusals"] == ("4", "profile extra.toml:2", True)
    assert shown["retry.attempts"] == ("7", ".env:2 LLM_NODE_RETRY__ATTEMPTS", True)
    assert shown["gateway.url"] == ('"https://g.example"', "environment API_GATEWAY_URL", True)
    assert shown["logging.level"] == ('"debug"', "flag --log-level", True)
    assert shown["workload.jobs_per_s"] == ("1", "flag --set workload.jobs_per_s", True)
    assert shown["node.poll_cycle_s"] == ("5", "default", False)
    assert shown["gateway.ca_file"] == ('""', "default", False)
    assert list(shown) == list(catalogue())


def test_the_built_in_profile_is_named(load_here: Load) -> None:
    loaded = load_here(profile="network")
    assert str(loaded.origins["fleet.recovery_min_s"]) == "profile network (built in)"


def test_files_elsewhere_are_named_by_their_whole_path(load_here: Load, tmp_path: Path) -> None:
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere.toml"
    elsewhere.write_text("[node]\nslots = 2\n", encoding="utf-8")
    assert str(load_here(config_file=elsewhere).origins["node.slots"]) == f"{elsewhere}:2"


def test_lines_of_all_forms_of_keys(load_here: Load) -> None:
    loaded = load_here(
        toml=(
            "\"state_dir\" = 'here'\n"
            "gateway.url = 'http://x'\n"
            "retry = { attempts = 3, cap_s = 9 }\n"
            "  [ node ] # a node\n"
            "# slots = 9\n"
            "slots \t= 2 # [fleet]\n"
            "[gateway]\n"
            'node_version = """\n'
            "1\n"
            '"""\n'
            "owned = [ # mine\n"
            '  "http://a", # ]\n'
            "]\n"
            "max_reply_mb = 3\n"
        ).replace("gateway.url = 'http://x'\n", "\n")
    )
    assert {name: origin.line for name, origin in loaded.origins.items()} == {
        "state_dir": 1,
        "retry.attempts": 3,
        "retry.cap_s": 3,
        "node.slots": 6,
        "gateway.node_version": 8,
        "gateway.owned": 11,
        "gateway.max_reply_mb": 14,
    }


def test_lines_of_dotted_keys(load_here: Load) -> None:
    loaded = load_here(toml="node.slots = 2\nnode.refusals = 3\n")
    assert [loaded.origins[name].line for name in ("node.slots", "node.refusals")] == [1, 2]


def _shapes(name: str, key: str, value: str) -> st.SearchStrategy[list[str]]:
    """Ways to write one setting as a statement of its own; the first line holds the key."""
    return st.sampled_from(
        [
            [f"{key} = {value}"],
            [f'  "{key}"={value} # {name} = 1'],
            [f"'{key}' = [", f"  {value}, # ]", "  ", f"  {value},", "]"],
            [f'{key} = """', f"{key} = 1", f"[{name}]", '"""'],
            [f"{key} = '''", "", "x'''"],
        ]
    )


@given(st.data())
def test_lines_of_any_mix_of_statements(data: st.DataObject) -> None:
    lines: list[str] = []
    expected: dict[KeyPath, int] = {}
    for table in data.draw(st.permutations(["alpha", "beta", "gamma"])):
        lines += data.draw(st.lists(st.sampled_from(["", "# [alpha]", "#one = 1", "  "]), max_size=3))
        lines.append(f"[{table}]")
        expected[table,] = len(lines)
        for key in data.draw(st.lists(st.sampled_from(["one", "two", "three"]), unique=True)):
            expected[table, key] = len(lines) + 1
            lines += data.draw(_shapes(table, key, data.draw(st.sampled_from(["1", "'#'", '"]"', "{ x = 1 }"]))))
    found = key_lines(data.draw(st.sampled_from(["\n", "\r\n"])).join(lines))
    assert {key: line for key, line in found.items() if len(key) < 3} == expected
