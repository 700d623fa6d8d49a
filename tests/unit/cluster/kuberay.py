"""The fields of KubeRay 1.6's RayCluster and RayJob that our manifests use, as JSON Schema.

Transcribed by hand from the API reference of the ray.io/v1 resources, since no package ships the CRDs. A pod template
is not described here: the tests check it as a Pod against Kubernetes' own schemas.
"""

from typing import Any

_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
_COUNT = {"type": "integer", "minimum": 0}


def _closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


_HEAD = _closed(
    ["template", "rayStartParams"],
    serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    rayStartParams=_STRINGS,
    template={"type": "object"},
)
_WORKERS = _closed(
    ["groupName", "rayStartParams", "template", "minReplicas", "maxReplicas"],
    groupName={"type": "string"},
    replicas=_COUNT,
    minReplicas=_COUNT,
    maxReplicas=_COUNT,
    rayStartParams=_STRINGS,
    template={"type": "object"},
)
_AUTOSCALER = _closed(
    [],
    version={"enum": ["v1", "v2"]},
    upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
    idleTimeoutSeconds=_COUNT,
    imagePullPolicy={"type": "string"},
    securityContext={"type": "object"},
    resources={"type": "object"},
)
CLUSTER_SPEC = _closed(
    ["headGroupSpec", "workerGroupSpecs"],
    rayVersion={"type": "string"},
    authOptions=_closed([], mode={"enum": ["disabled", "token"]}, secretName={"type": "string"}),
    enableInTreeAutoscaling={"type": "boolean"},
    autoscalerOptions=_AUTOSCALER,
    headGroupSpec=_HEAD,
    workerGroupSpecs={"type": "array", "items": _WORKERS},
)
JOB_SPEC = _closed(
    ["entrypoint", "rayClusterSpec"],
    entrypoint={"type": "string"},
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    shutdownAfterJobFinishes={"type": "boolean"},
    ttlSecondsAfterFinished=_COUNT,
    backoffLimit=_COUNT,
    activeDeadlineSeconds=_COUNT,
    submitterPodTemplate={"type": "object"},
    runtimeEnvYAML={"type": "string"},
    rayClusterSpec=CLUSTER_SPEC,
)
