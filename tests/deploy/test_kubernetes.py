"""The manifests: what schemas say, and what they cannot."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from node.domain.policies import StopPolicy
from node.settings.roster import parse_roster
from tests.deploy.tools import DEPLOY, run

FOLDER = DEPLOY / "kubernetes"
MANIFESTS = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
WITHOUT_SCHEMA = {"servicemonitor.yaml"}
"""Kinds that an operator brings along."""


def manifest(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return loaded


SET = manifest("statefulset")["spec"]
POD = SET["template"]["spec"]
NODE = next(container for container in POD["containers"] if container["name"] == "node")
VALUES = {entry["name"]: entry.get("value") for entry in NODE["env"]}


@pytest.mark.parametrize("name", [name for name in MANIFESTS if name not in WITHOUT_SCHEMA])
def test_a_manifest_keeps_to_its_schema(name: str) -> None:
    assert "passed for resource" in run("kubernetes-validate", "--strict", FOLDER / name)


def test_the_kustomization_takes_all_but_the_example() -> None:
    listed = manifest("kustomization")
    assert {*listed["resources"], "secret.example.yaml"} == set(MANIFESTS)
    assert all((FOLDER / file).is_file() for entry in listed["configMapGenerator"] for file in entry["envs"])
    assert {image["name"] for image in listed["images"]} == {NODE["image"].partition(":")[0]}
    made = {entry["name"] for entry in listed["configMapGenerator"]}
    assert {entry["configMapRef"]["name"] for entry in NODE["envFrom"]} == made


def test_all_speak_of_the_same_pods() -> None:
    labels = SET["template"]["metadata"]["labels"]
    service, monitor = manifest("service"), manifest("servicemonitor")
    assert SET["selector"]["matchLabels"] == labels
    assert manifest("poddisruptionbudget")["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    assert SET["serviceName"] == service["metadata"]["name"]
    assert POD["serviceAccountName"] == manifest("serviceaccount")["metadata"]["name"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "llm-node"


def test_the_monitor_asks_the_health_port_for_metrics() -> None:
    ports = {port["name"]: port for port in manifest("service")["spec"]["ports"]}
    (endpoint,) = manifest("servicemonitor")["spec"]["endpoints"]
    assert endpoint["path"] == "/metrics"
    assert ports[endpoint["port"]]["targetPort"] in {port["name"] for port in NODE["ports"]}


def test_probes_ask_what_they_are_for() -> None:
    asked = {name: NODE[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {name: probe["path"] for name, probe in asked.items()} == {
        "startupProbe": "/health/live",
        "livenessProbe": "/health/live",
        "readinessProbe": "/health/ready",
    }
    assert {probe["port"] for probe in asked.values()} == {port["name"] for port in NODE["ports"]}


def test_a_pod_has_time_to_drain_with_its_engine_beside_it() -> None:
    drain_s = float(VALUES["LLM_NODE_STOP__DRAIN_S"])
    assert POD["terminationGracePeriodSeconds"] >= drain_s + StopPolicy().abort_s + 5
    engines = [container for container in POD["initContainers"] if container["name"] == "ollama"]
    assert [container["restartPolicy"] for container in engines] == ["Always"]


def test_no_container_can_do_more_than_it_must() -> None:
    assert POD["securityContext"]["runAsNonRoot"]
    for container in (*POD["containers"], *POD["initContainers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"].keys() == {"requests", "limits"}


def test_no_variable_of_a_service_passes_for_a_setting() -> None:
    assert POD["enableServiceLinks"] is False


def test_each_pod_has_an_identity_of_its_own() -> None:
    mount = next(mount for mount in NODE["volumeMounts"] if mount["name"] == "identity")
    assert mount["subPathExpr"] == "$(POD_NAME)"
    assert mount["mountPath"] == VALUES["LLM_NODE_FLEET__ROSTER"]
    secret = manifest("secret.example")
    volume = next(volume for volume in POD["volumes"] if volume["name"] == "identity")
    assert volume["secret"]["secretName"] == secret["metadata"]["name"]
    assert list(secret["stringData"]) == [f"{manifest('statefulset')['metadata']['name']}-0"]


def test_the_example_of_a_secret_is_a_roster_without_values() -> None:
    (text,) = manifest("secret.example")["stringData"].values()
    head, row, *_ = text.splitlines()
    empty = parse_roster(text, "example")
    assert not empty.nodes
    assert {fault.column for fault in empty.faults} == {"node_id", "secret", "account_id", "pub_key"}
    filled = parse_roster(f"{head}\n{row.replace(',,,,', 'n,s,a,p,', 1)}\n", "example")
    assert [node.node_id for node in filled.nodes] == ["n"]
    assert not filled.faults


def test_state_outlives_its_pod() -> None:
    kept = {claim["metadata"]["name"] for claim in SET["volumeClaimTemplates"]}
    assert {mount["name"] for mount in NODE["volumeMounts"] if mount["mountPath"] == "/var/lib/llm-node"} <= kept
    assert SET["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
