"""The manifests: what schemas say, and what they cannot."""

from __future__ import annotations

import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from node.app.control import NODES_FOLDER
from node.domain.policies import StopPolicy
from node.settings.roster import parse_roster
from tests.deploy.tools import DEPLOY, ROOT, run

FOLDER = DEPLOY / "kubernetes"
MANIFESTS = sorted(path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml")
WITHOUT_SCHEMA = {FOLDER / "servicemonitor.yaml"}
"""Kinds that an operator brings along."""
WAYS = ["statefulset", "deployment"]
BASE = FOLDER / "base"


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def manifest(path: Path) -> dict[str, Any]:
    (loaded,) = documents(path)
    return loaded


def workload(way: str) -> dict[str, Any]:
    return manifest(FOLDER / way / f"{way}.yaml")


def pod(way: str) -> dict[str, Any]:
    found: dict[str, Any] = workload(way)["spec"]["template"]["spec"]
    return found


def node(way: str) -> dict[str, Any]:
    (found,) = (container for container in pod(way)["containers"] if container["name"] == "node")
    container: dict[str, Any] = found
    return container


def values(way: str) -> dict[str, str | None]:
    return {entry["name"]: entry.get("value") for entry in node(way)["env"]}


def mounts(way: str) -> dict[str, dict[str, Any]]:
    return {mount["mountPath"]: mount for mount in node(way)["volumeMounts"]}


@pytest.mark.parametrize(
    "path", [path for path in MANIFESTS if path not in WITHOUT_SCHEMA], ids=lambda path: str(path.relative_to(FOLDER))
)
def test_a_manifest_keeps_to_its_schema(path: Path) -> None:
    assert "passed for resource" in run("kubernetes-validate", "--strict", path)


@pytest.mark.parametrize("way", WAYS)
def test_a_kustomization_takes_what_may_go_with_it(way: str) -> None:
    listed = manifest(FOLDER / way / "kustomization.yaml")
    assert listed["resources"] == ["../base", f"{way}.yaml"]
    containers = (*pod(way)["containers"], *pod(way)["initContainers"])
    assert {image["name"] for image in listed["images"]} == {c["image"].partition(":")[0] for c in containers}
    shared = manifest(BASE / "kustomization.yaml")
    assert {BASE / name for name in shared["resources"]} == {path for path in MANIFESTS if path.parent == BASE}
    assert all((BASE / file).is_file() for entry in shared["configMapGenerator"] for file in entry["envs"])
    made = {entry["name"] for entry in shared["configMapGenerator"]}
    assert {entry["configMapRef"]["name"] for entry in node(way)["envFrom"]} == made


@pytest.mark.parametrize("way", [".", *WAYS])
def test_kustomize_puts_it_together(way: str) -> None:
    if shutil.which("kubectl") is None:
        # The program is not among what a bare Debian can install; the parts are looked at one by one above.
        return
    made = [each["kind"] for each in yaml.safe_load_all(run("kubectl", "kustomize", FOLDER / way))]
    assert set(made) >= {"ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"}
    assert ("Deployment" in made) is (way == "deployment")
    assert ("StatefulSet" in made) is (way != "deployment")
    assert not {"PersistentVolumeClaim", "Secret", "ServiceMonitor"} & set(made)


def test_both_ways_run_the_same_pod() -> None:
    """But for where identity and volumes come from, and for what several engines on one folder need."""
    pods = {way: deepcopy(pod(way)) for way in WAYS}
    single, shared = pods["statefulset"], pods["deployment"]
    assert shared.pop("affinity")
    shared["volumes"] = [volume for volume in shared["volumes"] if "persistentVolumeClaim" not in volume]
    for each, key, of_identity in ((single, "subPathExpr", "$(POD_NAME)"), (shared, "subPath", "nodes.csv")):
        (identity,) = (m for m in each["containers"][0]["volumeMounts"] if m["name"] == "identity")
        assert identity.pop(key) == of_identity
    prune = {"name": "OLLAMA_NOPRUNE", "value": "1"}
    shared["initContainers"][0]["env"].remove(prune)
    assert single == shared


@pytest.mark.parametrize("way", WAYS)
def test_all_speak_of_the_same_pods(way: str) -> None:
    spec = workload(way)["spec"]
    labels = spec["template"]["metadata"]["labels"]
    service, monitor = manifest(BASE / "service.yaml"), manifest(FOLDER / "servicemonitor.yaml")
    assert spec["selector"]["matchLabels"] == labels
    assert manifest(BASE / "poddisruptionbudget.yaml")["spec"]["selector"]["matchLabels"] == labels
    assert manifest(BASE / "networkpolicy.yaml")["spec"]["podSelector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    assert spec.get("serviceName") in (service["metadata"]["name"], None)
    assert pod(way)["serviceAccountName"] == manifest(BASE / "serviceaccount.yaml")["metadata"]["name"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "llm-node"


@pytest.mark.parametrize("way", WAYS)
def test_the_monitor_asks_the_health_port_for_metrics_and_may(way: str) -> None:
    ports = {port["name"]: port for port in manifest(BASE / "service.yaml")["spec"]["ports"]}
    (endpoint,) = manifest(FOLDER / "servicemonitor.yaml")["spec"]["endpoints"]
    names = {port["name"] for port in node(way)["ports"]}
    assert endpoint["path"] == "/metrics"
    assert ports[endpoint["port"]]["targetPort"] in names
    (let_in,) = manifest(BASE / "networkpolicy.yaml")["spec"]["ingress"]
    assert {port["port"] for port in let_in["ports"]} == names


@pytest.mark.parametrize("way", WAYS)
def test_probes_ask_what_they_are_for(way: str) -> None:
    asked = {name: node(way)[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {name: probe["path"] for name, probe in asked.items()} == {
        "startupProbe": "/health/live",
        "livenessProbe": "/health/live",
        "readinessProbe": "/health/ready",
    }
    assert {probe["port"] for probe in asked.values()} == {port["name"] for port in node(way)["ports"]}


@pytest.mark.parametrize("way", WAYS)
def test_a_pod_has_time_to_drain_with_its_engine_beside_it(way: str) -> None:
    drain_s = float(values(way)["LLM_NODE_STOP__DRAIN_S"] or 0)
    assert pod(way)["terminationGracePeriodSeconds"] >= drain_s + StopPolicy().abort_s + 5
    engines = [container for container in pod(way)["initContainers"] if container["name"] == "ollama"]
    assert [container["restartPolicy"] for container in engines] == ["Always"]


@pytest.mark.parametrize("way", WAYS)
def test_a_node_that_hangs_is_not_waited_for_as_long_as_one_that_drains(way: str) -> None:
    assert node(way)["livenessProbe"]["terminationGracePeriodSeconds"] <= 30


@pytest.mark.parametrize("way", WAYS)
def test_no_container_can_do_more_than_it_must(way: str) -> None:
    assert pod(way)["securityContext"]["runAsNonRoot"]
    assert pod(way)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(way)["automountServiceAccountToken"] is False
    for container in (*pod(way)["containers"], *pod(way)["initContainers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"].keys() == {"requests", "limits"}


@pytest.mark.parametrize("way", WAYS)
def test_what_the_image_writes_to_is_there(way: str) -> None:
    image = (DEPLOY / "Dockerfile").read_text()
    for folder in ("/var/lib/llm-node", "/var/log/llm-node"):
        assert f'"{folder}"' in image
        assert not mounts(way)[folder].get("readOnly")
    assert "/tmp" in mounts(way)


@pytest.mark.parametrize("way", WAYS)
def test_no_variable_of_a_service_passes_for_a_setting(way: str) -> None:
    assert pod(way)["enableServiceLinks"] is False


@pytest.mark.parametrize("way", WAYS)
def test_identities_come_from_a_roster_that_is_a_secret(way: str) -> None:
    (mount,) = (mount for mount in mounts(way).values() if mount["name"] == "identity")
    assert mount["mountPath"] == values(way)["LLM_NODE_FLEET__ROSTER"]
    assert mount["readOnly"]
    assert node(way)["args"] == ["node", "--claim"]
    secret = manifest(FOLDER / way / "secret.example.yaml")
    volume = next(volume for volume in pod(way)["volumes"] if volume["name"] == "identity")
    assert volume["secret"]["secretName"] == secret["metadata"]["name"]
    name = workload(way)["metadata"]["name"]
    assert list(secret["stringData"]) == [{"statefulset": f"{name}-0", "deployment": "nodes.csv"}[way]]


@pytest.mark.parametrize("way", WAYS)
def test_the_example_of_a_secret_is_a_roster_without_values(way: str) -> None:
    (text,) = manifest(FOLDER / way / "secret.example.yaml")["stringData"].values()
    head, row, *_ = text.splitlines()
    empty = parse_roster(text, "example")
    assert not empty.nodes
    assert {fault.column for fault in empty.faults} == {"node_id", "secret", "account_id", "pub_key"}
    filled = parse_roster(f"{head}\n{row.replace(',,,,', 'n,s,a,p,', 1)}\n", "example")
    assert [node.node_id for node in filled.nodes] == ["n"]
    assert not filled.faults


def test_the_state_of_a_set_outlives_its_pods() -> None:
    spec = workload("statefulset")["spec"]
    kept = {claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]}
    assert mounts("statefulset")["/var/lib/llm-node"]["name"] in kept
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}


def test_the_state_of_a_deployment_is_one_machines_and_is_not_deleted_with_it() -> None:
    claims = {claim["metadata"]["name"]: claim for claim in documents(FOLDER / "deployment/volumes.yaml")}
    asked = {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod("deployment")["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert asked == claims.keys()
    assert {mode for claim in claims.values() for mode in claim["spec"]["accessModes"]} == {"ReadWriteOnce"}
    (together,) = pod("deployment")["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert together["topologyKey"] == "kubernetes.io/hostname"
    assert together["labelSelector"] == workload("deployment")["spec"]["selector"]
    assert "volumes.yaml" not in manifest(FOLDER / "deployment/kustomization.yaml")["resources"]


def test_no_more_pods_than_rows_ask_for_one_at_a_time() -> None:
    assert workload("deployment")["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0


def test_the_pod_that_looks_into_an_outbox_has_the_volume_of_one() -> None:
    looking = manifest(FOLDER / "outbox.example.yaml")
    claims = [volume.get("persistentVolumeClaim", {}).get("claimName") for volume in looking["spec"]["volumes"]]
    assert "state-llm-node-0" in claims
    assert looking["spec"]["securityContext"] == pod("statefulset")["securityContext"]
    assert (ROOT / "docs/operations.md").read_text().count("outbox.example.yaml") >= 1
    assert Path("nodes") == NODES_FOLDER
