"""The manifests of load tests: what schemas cannot say."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from node.settings.load import load
from tests.deploy.test_kubernetes import FOLDER, pod
from tests.deploy.test_names import KNOWN, resolve
from tests.deploy.tools import ROOT

JOBS = {name: yaml.safe_load((FOLDER / f"{name}.yaml").read_text()) for name in ("loadtest-job", "loadtest-merge")}
PAGE = ROOT / "docs/load-testing-distributed.md"


def spec(name: str) -> dict[str, Any]:
    found: dict[str, Any] = JOBS[name]["spec"]["template"]["spec"]
    return found


def container(name: str) -> dict[str, Any]:
    (found,) = spec(name)["containers"]
    one: dict[str, Any] = found
    return one


def variables(name: str) -> dict[str, str | None]:
    return {entry["name"]: entry.get("value") for entry in container(name)["env"]}


def test_the_number_of_shards_is_the_same_wherever_it_stands() -> None:
    job, args = JOBS["loadtest-job"]["spec"], container("loadtest-job")["args"]
    assert job["completionMode"] == "Indexed"
    assert job["parallelism"] == job["completions"] == int(args[args.index("--count") + 1])
    assert job["maxFailedIndexes"] >= job["completions"]


def test_a_shard_is_never_run_twice() -> None:
    job = JOBS["loadtest-job"]["spec"]
    assert job["backoffLimitPerIndex"] == 0
    assert JOBS["loadtest-merge"]["spec"]["backoffLimit"] == 0
    assert {spec(name)["restartPolicy"] for name in JOBS} == {"Never"}


@pytest.mark.parametrize("name", JOBS)
def test_the_command_line_is_one_of_ours(name: str) -> None:
    assert not resolve(container(name)["args"])


@pytest.mark.parametrize("name", JOBS)
def test_every_variable_is_known_and_its_value_can_be_used(name: str, tmp_path: Any) -> None:
    # LLM_NODE_API_KEY is an option's, RUN the manifest's own.
    assert variables(name).keys() - KNOWN == {"LLM_NODE_API_KEY", "RUN"}
    given = {key: value for key, value in variables(name).items() if key in KNOWN and value is not None}
    settings = load(config_file=None, profile=None, flags={}, environ=given, cwd=tmp_path).settings
    assert settings.gateway.owned
    assert settings.gateway.url in {"", *settings.gateway.owned}


def test_both_speak_of_one_run() -> None:
    shard, merge = variables("loadtest-job"), variables("loadtest-merge")
    assert all(shard[name] == value for name, value in merge.items())
    assert container("loadtest-job")["image"] == container("loadtest-merge")["image"]
    args = {name: container(name)["args"] for name in JOBS}
    assert args["loadtest-merge"][2] == args["loadtest-job"][args["loadtest-job"].index("--out") + 1]
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for name in JOBS
        for volume in spec(name)["volumes"]
        if "persistentVolumeClaim" in volume
    }
    volume = yaml.safe_load((FOLDER / "loadtest-volume.yaml").read_text())
    assert claims == {volume["metadata"]["name"]}
    assert volume["spec"]["accessModes"] == ["ReadWriteMany"]


@pytest.mark.parametrize("name", JOBS)
def test_a_pod_can_do_no_more_than_it_must(name: str) -> None:
    usual = pod("statefulset")
    assert spec(name)["securityContext"] == usual["securityContext"]
    assert container(name)["securityContext"] == usual["containers"][0]["securityContext"]
    assert spec(name)["automountServiceAccountToken"] is False
    assert spec(name)["enableServiceLinks"] is False
    assert container(name)["resources"].keys() == {"requests", "limits"}
    mounted = {mount["name"] for mount in container(name)["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec(name)["volumes"]}


def test_the_page_tells_of_each_file() -> None:
    text = PAGE.read_text()
    assert all(f"{name}.yaml" in text for name in (*JOBS, "loadtest-volume"))
