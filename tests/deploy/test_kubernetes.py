"""The manifests for Kubernetes keep to its schema, fit each other, and hold no secret."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from corll.service.settings import ServedConfig, ServiceSettings
from documents import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
COMPOSE = ROOT / "deploy" / "compose.yaml"
VERSION = "1.34.0"

PLUGIN = {"database", "versions", "vllm_pins", "vllm_most_rank"}
"""What CORLL_* variables the plugin of vLLM reads."""

SECRET = ("DATABASE", "KEY")


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(FOLDER.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            yield path.name, document


RESOURCES = [(name, one) for name, one in documents() if one["kind"] != "Kustomization"]
WORKLOADS = [one for _, one in RESOURCES if one["kind"] in ("Deployment", "StatefulSet")]
KUSTOMIZATION = next(one for _, one in documents() if one["kind"] == "Kustomization")
each_workload = pytest.mark.parametrize(
    "workload", WORKLOADS, ids=lambda one: one["metadata"]["name"]
)


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [one for _, one in RESOURCES if one["kind"] == kind]


def container_of(workload: dict[str, Any]) -> dict[str, Any]:
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    return dict(container)


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


def test_the_kustomization_lists_every_file() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == files
    images = {image["name"] for image in KUSTOMIZATION["images"]}
    assert {container_of(one)["image"] for one in WORKLOADS} == images


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
    known = {*ServiceSettings.model_fields, *ServedConfig.model_fields, "versions"}
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
