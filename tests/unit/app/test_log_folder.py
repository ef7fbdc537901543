"""Where logs are, if not in the state folder."""

from __future__ import annotations

from pathlib import Path

from node.app.plan import plan_fleet
from node.app.production_plan import plan_production
from node.domain.identity import Hardware
from node.settings.load import load

OWN = {
    "API_GATEWAY_URL": "http://127.0.0.1:1",
    "NODE_ID": "n/1",
    "NODE_SECRET": "s",
    "ACCOUNT_ID": "a",
    "NODE_PUB_KEY": "p",
}


def test_a_fleet_and_a_node_put_them_where_the_settings_say(tmp_path: Path) -> None:
    for folder, expected in (("", None), ("my/logs", tmp_path / "my" / "logs"), ("/var/log/x", Path("/var/log/x"))):
        environ = {**OWN, "LLM_NODE_LOGGING__FOLDER": folder}
        loaded = load(config_file=None, profile=None, flags={}, environ=environ, cwd=tmp_path)
        assert plan_fleet(loaded, tmp_path).log_folder == expected
        plan = plan_production(loaded, tmp_path, Hardware(1, 1, 0, "", ""))
        assert plan.log_folder(plan.candidates[0]) == (expected / "n%2F1" if expected else None)
