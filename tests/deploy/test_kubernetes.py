"""The manifests for Kubernetes keep to its schema, fit each other, and hold no secret."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from corll.service.roles import LearnerSettings
from corll.service.settings import ServedConfig, ServiceSettings
from documents import ROOT

FOLDER, ON_RAY = ROOT / "deploy" / "kubernetes", ROOT / "deploy" / "kubernetes-ray"
COMPOSE = ROOT / "deploy" / "compose.yaml"
VERSION = "1.34.0"

PLUGIN = {"database", "versions", "vllm_pins", "vllm_most_rank", "vllm_look_s", "vllm_keep_s"}
"""What CORLL_* variables the plugin of vLLM reads."""

SECRET = ("DATABASE", "KEY")


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted([*FOLDER.glob("*.yaml"), *ON_RAY.glob("*.yaml")]):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            yield path.parent.name, document


RESOURCES = [(name, one) for name, one in documents() if one["kind"] != "Kustomization"]
WORKLOADS = [one for _, one in RESOURCES if one["kind"] in ("Deployment", "StatefulSet")]
KUSTOMIZATIONS = {folder: one for folder, one in documents() if one["kind"] == "Kustomization"}
each_workload = pytest.mark.parametrize(
    "workload", WORKLOADS, ids=lambda one: one["metadata"]["name"]
)


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [one for _, one in RESOURCES if one["kind"] == kind]


def container_of(workload: dict[str, Any]) -> dict[str, Any]:
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    return dict(container)


def command_of(workload: dict[str, Any]) -> list[str]:
    container = container_of(workload)
    return [*container.get("command", []), *container.get("args", [])]


@pytest.mark.parametrize(
    "resource",
    [one for _, one in RESOURCES],
    ids=lambda one: f"{one['kind']}-{one['metadata']['name']}",
)
def test_each_resource_keeps_to_the_schema(resource: dict[str, Any]) -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("kubernetes-validate, which has Kubernetes' schemas, is not installed")
    import kubernetes_validate

    kubernetes_validate.validate(resource, VERSION, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**resource, "specs": {}}, VERSION, strict=True)


@pytest.mark.parametrize("folder", [FOLDER, ON_RAY], ids=lambda folder: folder.name)
def test_the_kustomization_lists_every_file(folder: Path) -> None:
    made = KUSTOMIZATIONS[folder.name]
    files = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(made["resources"]) - {"../kubernetes"} == files
    images = {image["name"] for image in made["images"]}
    workloads = [one for at, one in RESOURCES if at == folder.name and one in WORKLOADS]
    assert {container_of(one)["image"] for one in workloads} == images


def test_on_ray_the_learners_of_before_are_left_out() -> None:
    made = KUSTOMIZATIONS[ON_RAY.name]
    assert made["resources"][0] == "../kubernetes"
    patches = [yaml.safe_load(one["patch"]) for one in made["patches"]]
    left_out = [(one["kind"], one["metadata"]["name"]) for one in patches]
    assert {one["$patch"] for one in patches} == {"delete"}
    known = [(one["kind"], one["metadata"]["name"]) for at, one in RESOURCES if at == FOLDER.name]
    own = [(one["kind"], one["metadata"]["name"]) for at, one in RESOURCES if at == ON_RAY.name]
    assert set(left_out) == {("Deployment", "learner"), ("PodDisruptionBudget", "learner")}
    assert set(left_out) <= set(known)
    assert not set(known) & set(own)


def test_learners_on_ray_find_their_head_and_have_room() -> None:
    by_name = {one["metadata"]["name"]: one for one in WORKLOADS}
    head, node = by_name["ray-head"], by_name["ray-worker"]
    (config,) = [
        one["data"] for one in of_kind("ConfigMap") if one["metadata"]["name"] == "corll-ray"
    ]
    ports = {port["name"]: port["containerPort"] for port in container_of(head)["ports"]}
    assert config["CORLL_RAY"] == f"ray://ray-head:{ports['client']}"
    asked = {name.removeprefix("CORLL_").lower(): value for name, value in config.items()}
    settings = LearnerSettings(**asked)
    flags = {
        name: dict(one.removeprefix("--").partition("=")[::2] for one in command_of(workload)[2:])
        for name, workload in (("head", head), ("node", node))
    }
    assert flags["head"]["num-cpus"] == "0"
    assert flags["node"]["address"] == f"ray-head:{ports['gcs']}"
    room = int(flags["node"]["num-cpus"]) // int(settings.learner_cpus) * node["spec"]["replicas"]
    assert settings.most_learners == room
    (policy,) = [
        one["spec"] for one in of_kind("NetworkPolicy") if one["metadata"]["name"] == "ray"
    ]
    (reached,) = policy["podSelector"]["matchExpressions"]
    assert set(reached["values"]) == {"ray-head", "ray-worker", "ray-fleet"}
    assert policy["ingress"] == [{"from": [{"podSelector": policy["podSelector"]}]}]


def test_ray_knows_the_flags() -> None:
    scripts = pytest.importorskip("ray.scripts.scripts")
    known = {name for parameter in scripts.start.params for name in parameter.opts}
    for workload in WORKLOADS:
        command = command_of(workload)
        if command[:1] == ["ray"]:
            assert command[1] == "start"
            assert {one.partition("=")[0] for one in command[2:]} <= known


@each_workload
def test_a_workload_has_labels_limits_and_probes(workload: dict[str, Any]) -> None:
    spec, container = workload["spec"], container_of(workload)
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels
    assert "memory" in container["resources"]["limits"]
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    probes = {"startupProbe", "readinessProbe", "livenessProbe"} & set(container)
    answers = bool(container.get("ports"))
    assert bool(probes) is answers
    assert not answers or len(probes) == 3


@each_workload
def test_a_budget_lets_a_node_go_and_never_all_pods(workload: dict[str, Any]) -> None:
    labels, replicas = workload["spec"]["selector"]["matchLabels"], workload["spec"]["replicas"]
    if replicas == 1:
        # One alone cannot stay: what it did waits until it is started elsewhere.
        assert workload["metadata"]["name"] in ("ray-head", "ray-fleet")
        return
    budgets = [
        one["spec"]
        for one in of_kind("PodDisruptionBudget")
        if one["spec"]["selector"]["matchLabels"] == labels
    ]
    assert len(budgets) == 1
    stays = budgets[0].get("minAvailable", replicas - budgets[0].get("maxUnavailable", 0))
    assert 0 < stays < replicas


@each_workload
def test_secrets_come_from_secrets(workload: dict[str, Any]) -> None:
    for variable in container_of(workload).get("env", []):
        secret = any(variable["name"].endswith(one) for one in SECRET)
        secret = secret or variable["name"] == "AWS_ACCESS_KEY_ID"
        assert secret is ("secretKeyRef" in variable.get("valueFrom", {})), variable["name"]
    for config in of_kind("ConfigMap"):
        for name, value in config["data"].items():
            assert not name.endswith(SECRET)
            assert "@" not in value


def test_each_variable_is_a_setting() -> None:
    # `versions` is a setting of the commands whose weights lie in a store.
    known = {*LearnerSettings.model_fields, *ServedConfig.model_fields, "versions"}
    for config in of_kind("ConfigMap"):
        names = [name for name in config["data"] if name.startswith("CORLL_")]
        assert {name.removeprefix("CORLL_").lower() for name in names} <= known
    for workload in WORKLOADS:
        own = PLUGIN if workload["metadata"]["name"] == "vllm" else known
        names = [one["name"] for one in container_of(workload).get("env", [])]
        corlls = {n.removeprefix("CORLL_").lower() for n in names if n.startswith("CORLL_")}
        assert corlls <= own


def test_gateways_ask_every_engine_and_nobody_else_can() -> None:
    (engines,) = of_kind("StatefulSet")
    gateway = next(
        one for one in of_kind("ConfigMap") if one["metadata"]["name"] == "corll-gateway"
    )
    name, service = engines["metadata"]["name"], engines["spec"]["serviceName"]
    (port,) = [port["containerPort"] for port in container_of(engines)["ports"]]
    urls = [f"http://{name}-{n}.{service}:{port}/v1" for n in range(engines["spec"]["replicas"])]
    assert gateway["data"]["CORLL_ENGINE_URL"].split(",") == urls
    settings = {"engine": "vllm", "engine_url": gateway["data"]["CORLL_ENGINE_URL"]}
    assert list(ServiceSettings(**settings).engine_url) == urls
    policy = next(
        one["spec"] for one in of_kind("NetworkPolicy") if one["metadata"]["name"] == name
    )
    assert policy["podSelector"]["matchLabels"] == engines["spec"]["selector"]["matchLabels"]
    assert policy["ingress"][0]["from"] == [{"podSelector": {"matchLabels": {"app": "gateway"}}}]
    arguments = container_of(engines)["args"]
    rank = next(
        one["value"] for one in container_of(engines)["env"] if one["name"].endswith("RANK")
    )
    assert f"--max-lora-rank={rank}" in arguments


def test_the_compose_file_has_a_database_and_a_store_on_request() -> None:
    compose = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    services = compose["services"]
    assert services["postgres"]["profiles"] == ["postgres"]
    assert services["s3"]["profiles"] == ["s3"]
    environment = services["corll"]["environment"]
    assert environment["AWS_ENDPOINT_URL"] == f"http://s3{services['s3']['command'][1]}"
    assert environment["AWS_SECRET_ACCESS_KEY"] == services["s3"]["environment"]["ROOT_SECRET_KEY"]
    mounted = {
        volume.partition(":")[0] for one in services.values() for volume in one.get("volumes", [])
    }
    assert mounted == set(compose["volumes"])
    corlls = {
        name.removeprefix("CORLL_").lower() for name in environment if name.startswith("CORLL")
    }
    assert corlls <= {*ServiceSettings.model_fields, "versions"}
