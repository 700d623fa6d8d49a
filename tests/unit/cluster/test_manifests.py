"""What stands under cluster/ is valid, and keeps the promises of cluster/README.md and docs/security.md."""

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml

from syneg.config import overrides
from tests.unit.cluster import kuberay

ROOT = Path(__file__).parents[3]
CLUSTER = ROOT / "cluster"
KUBERNETES = "1.34"
RESOURCES = [
    resource
    for path in sorted((CLUSTER / "kuberay").glob("*.yaml"))
    for resource in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [resource for resource in RESOURCES if resource["kind"] == kind]


(RAY_CLUSTER,) = of_kind("RayCluster")
(RAY_JOB,) = of_kind("RayJob")
GROUPS = {group["groupName"]: group for group in RAY_CLUSTER["spec"]["workerGroupSpecs"]}
TEMPLATES = {
    "head": RAY_CLUSTER["spec"]["headGroupSpec"]["template"],
    "submitter": RAY_JOB["spec"]["submitterPodTemplate"],
    **{name: group["template"] for name, group in GROUPS.items()},
}


def validate(resource: dict[str, Any]) -> None:
    kubernetes_validate.validate(resource, KUBERNETES, strict=True)


@pytest.mark.parametrize(
    "resource", [r for r in RESOURCES if "ray.io" not in r["apiVersion"]], ids=lambda resource: resource["kind"]
)
def test_kubernetes_takes_the_base(resource: dict[str, Any]) -> None:
    validate(resource)


@pytest.mark.parametrize("name", TEMPLATES)
def test_kubernetes_takes_the_pods(name: str) -> None:
    template = TEMPLATES[name]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **template.get("metadata", {})}}
    validate(pod | {"spec": template["spec"]})


def test_an_unknown_field_of_a_pod_is_found() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(pod | {"spec": {"containers": [{"name": "a", "image": "b", "imagePolicy": "Always"}]}})


def test_kuberay_takes_cluster_and_job() -> None:
    jsonschema.validate(RAY_CLUSTER["spec"], kuberay.CLUSTER_SPEC)
    jsonschema.validate(RAY_JOB["spec"], kuberay.JOB_SPEC)


def test_a_job_brings_the_same_cluster() -> None:
    assert RAY_JOB["spec"]["rayClusterSpec"] == RAY_CLUSTER["spec"]


def test_the_image_has_the_ray_of_the_pins() -> None:
    assert RAY_CLUSTER["spec"]["rayVersion"] == version("ray")


def test_calls_need_a_token_and_the_autoscaler_is_v2() -> None:
    spec = RAY_CLUSTER["spec"]
    assert spec["authOptions"] == {"mode": "token", "secretName": "syneg-auth"}
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["autoscalerOptions"]["version"] == "v2"
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"


def test_only_the_groups_that_need_gpus_have_some_and_all_start_empty() -> None:
    def gpus(template: dict[str, Any]) -> int:
        (container,) = template["spec"]["containers"]
        return int(container["resources"]["limits"].get("nvidia.com/gpu", 0))

    assert {name: gpus(template) for name, template in TEMPLATES.items()} == {
        "head": 0,
        "submitter": 0,
        "cpu": 0,
        "generate": 1,
        "train": 8,
    }
    assert RAY_CLUSTER["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert {group["minReplicas"] for group in GROUPS.values()} == {0}
    capacity = {
        name: TEMPLATES[name]["spec"].get("nodeSelector", {}).get("karpenter.sh/capacity-type") for name in TEMPLATES
    }
    assert (capacity["generate"], capacity["train"], capacity["head"]) == ("spot", "on-demand", "on-demand")


@pytest.mark.parametrize("name", TEMPLATES)
def test_pods_are_confined(name: str) -> None:
    spec = TEMPLATES[name]["spec"]
    assert "volumes" not in spec  # all that lasts lies on S3
    assert not spec.get("hostNetwork")
    for container in spec["containers"]:
        security = container["securityContext"]
        assert security["runAsNonRoot"]
        assert not security["allowPrivilegeEscalation"]
        assert security["capabilities"] == {"drop": ["ALL"]}


def test_the_config_finds_its_groups() -> None:
    """A group of nodes and the setting that asks for it carry the same name."""
    config = overrides.load(str(ROOT / "configs" / "msmarco.yaml"))
    offered = {
        name
        for group in GROUPS.values()
        if "resources" in group["rayStartParams"]
        for name in json.loads(json.loads(group["rayStartParams"]["resources"]))
    }
    asked = {
        config.resources.generate.node_group,
        config.resources.encode.node_group,
        config.resources.train.node_group,
    }
    assert asked == offered == {"generate", "train"}


def test_nobody_outside_reaches_a_ray_pod() -> None:
    (policy,) = of_kind("NetworkPolicy")
    assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    for rule in policy["spec"]["ingress"]:
        assert all("ipBlock" not in peer for peer in rule["from"])


def test_ray_takes_the_aws_file() -> None:
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text(encoding="utf-8"))
    content = yaml.safe_load((CLUSTER / "ray-up.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(content, schema)
    assert content["head_node_type"] in content["available_node_types"]
    assert "--env RAY_AUTH_MODE=token" in content["docker"]["run_options"]
    assert "--dashboard-host=127.0.0.1" in " ".join(content["head_start_ray_commands"])


def test_the_linter_takes_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--no-color", CLUSTER / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_image_is_pinned_and_not_root() -> None:
    lines = (CLUSTER / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("USER")] == ["USER 1000"]
    assert any(re.fullmatch(r"ARG PYTHON_IMAGE=python:\d+\.\d+\.\d+-slim-\w+", line) for line in lines)


def test_what_a_job_ships_has_no_environment_of_secrets() -> None:
    content = yaml.safe_load((CLUSTER / "runtime-env.yaml").read_text(encoding="utf-8"))
    assert set(content["env_vars"]) == {"HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM"}
    assert "/.git" in content["excludes"]


def test_the_dashboard_shows_what_a_run_measures() -> None:
    """Ray puts "ray_" before a metric's name."""
    text = (CLUSTER / "grafana" / "syneg.json").read_text(encoding="utf-8")
    code = (ROOT / "syneg" / "watch" / "metrics.py").read_text(encoding="utf-8")
    made = set(re.findall(r'"(syneg_rows_\w+|syneg_stage_seconds|syneg_storage_retries)"', code))
    made |= {f"syneg_stage_{name}" for name in ("done", "total", "rate")}
    made |= {"syneg_input_tokens", "syneg_output_tokens"}
    assert json.loads(text)["title"] == "syneg"
    assert set(re.findall(r"ray_(syneg_\w+)", text)) == made
