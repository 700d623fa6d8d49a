"""Nodes that are processes of this machine, for Ray's autoscaler: what the monitor loads by this module's address.

Ray's own `fake_multinode` provider reads a file that the wheel does not ship; an external provider has its defaults in
code. Its nodes join at `gcs_address` of the provider's settings.
"""

from typing import Any

from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID, FakeMultiNodeProvider

NODE = "gpu_node"
_COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
    "cluster_synced_files",
)


class FakeNodes(FakeMultiNodeProvider):
    """Ray's, under a name that the type "external" finds."""


def autoscaling(nodes: int, idle_seconds: float) -> dict[str, Any]:
    """A head without GPUs and 0 to `nodes` nodes that offer one GPU each in the group "generate"."""
    return {
        "cluster_name": "fake",
        "max_workers": nodes,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": idle_seconds / 60,
        "provider": {
            "type": "external",
            "module": "tests.cluster.fake_nodes.FakeNodes",
            "head_node_id": FAKE_HEAD_NODE_ID,
            "launch_multiple": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "auth": {},
        # The type "external" has no defaults for these.
        **{key: [] for key in _COMMANDS},
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 2}, "node_config": {}, "max_workers": 0},
            NODE: {
                "resources": {"CPU": 1, "GPU": 1, "generate": 1000, "object_store_memory": 100_000_000},
                "node_config": {},
                "min_workers": 0,
                "max_workers": nodes,
            },
        },
    }


ENVIRONMENT = {
    "RAY_FAKE_CLUSTER": "1",
    "RAY_enable_autoscaler_v2": "1",
    "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    # A node that is lost is missed after seconds instead of half a minute.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "3",
}
"""Of the head, as Ray's own AutoscalingCluster sets it."""
