"""The part of a deployment's settings that says which tasks run in pods of Kubernetes, and how.

`settings.load` hands the environment in; nothing is read from it here by any other way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ops_common.config import build_config
from ops_common.errors import ConfigError, OpsError
from ops_common.object_store import parse_s3_uri
from ops_common.pod_request import PodRequest

DEFAULT_TASKS = "train_model continue_training generate_samples"
DEFAULT_IMAGE = "model-training-trainer:latest"

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_POLICIES = ("IfNotPresent", "Always", "Never")
_TRUE, _FALSE = {"1", "yes", "true", "on"}, {"", "0", "no", "false", "off"}
_WEEK_SECONDS = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume that workers and pods see at the same path.

    Attributes:
        kind: `pvc` for a claim, `host` for a folder of the node.
        source: The claim's name, or the folder's path.
        path: Where it is mounted.
    """

    kind: str
    source: str
    path: Path


@dataclass(frozen=True, slots=True)
class PodSettings:
    """How tasks run in pods."""

    tasks: frozenset[str]
    """Names of the task functions that run in pods; the others run as child processes of the worker."""
    images: Mapping[str, str]
    """Image by library, where one has an image of its own."""
    default_image: str
    """Image of the others."""
    image_policy: str
    """When an image is pulled."""
    python: str
    """The interpreter in the image; the libraries are on its path."""
    namespace: str
    """Where pods are made."""
    connection_id: str
    """Airflow connection of the cluster; empty: `kube_config`, or what the client finds by itself."""
    kube_config: str
    """Path of a kubeconfig file on the worker; empty: the connection, KUBECONFIG, or the pod that the worker is in."""
    mounts: tuple[Mount, ...]
    """Volumes that workers and pods share."""
    exchange: str
    """Place in S3 through which folders on no shared volume come and go; empty: there are none."""
    secret: str
    """Secret of the namespace whose keys become variables of tasks that use S3: AWS_ACCESS_KEY_ID and so on."""
    endpoint: str
    """Address of S3 as pods reach it; empty: that of the object store's connection."""
    resources: PodRequest
    """What a pod gets when the run asks for nothing else."""
    gpu_resource: str
    """What the cluster calls a GPU."""
    keep_failed: bool
    """Whether the pod of a failed task is kept, to be looked at."""
    deferrable: bool
    """Whether the triggerer watches the pod, so that a long training holds no worker slot."""
    schedule_seconds: float
    """How long a pod may wait for a node."""
    start_seconds: float
    """How long the image may take to be pulled and started."""
    check_seconds: float
    """Pause between two looks at a pod."""
    store_seconds: float
    """Pause between two snapshots that a running pod stores in the exchange."""
    max_seconds: float
    """The cluster ends a pod after this time, whatever became of Airflow."""
    template: Path
    """Jinja template of the pod."""
    sidecar_image: str
    """Image of the container that hands the result over; needs `sh`. Empty: the task's own."""

    def image(self, library: str) -> str:
        """The image with a library."""
        return self.images.get(library) or self.default_image


def load(env: Mapping[str, str], project_root: Path) -> PodSettings:
    """Read the settings of pods.

    Args:
        env: The environment.
        project_root: Relative paths are meant from here.

    Raises:
        ConfigError: A variable has a value that cannot be used; names the variable.
    """
    here = Path(__file__).parent / "templates" / "task_pod.yaml.j2"
    template = env.get("OPS_POD_TEMPLATE")
    if env.get("OPS_KUBECONFIG") and env.get("OPS_KUBERNETES_CONNECTION"):
        raise ConfigError("OPS_KUBECONFIG and OPS_KUBERNETES_CONNECTION both say where the cluster is", "leave one out")
    return PodSettings(
        tasks=frozenset((env.get("OPS_POD_TASKS") or DEFAULT_TASKS).replace(",", " ").split()),
        images={
            "gematria_ops": env.get("OPS_POD_IMAGE_GEMATRIA", ""),
            "fastnode_ops": env.get("OPS_POD_IMAGE_FASTNODE", ""),
        },
        default_image=env.get("OPS_POD_IMAGE") or DEFAULT_IMAGE,
        image_policy=_one_of(env, "OPS_POD_IMAGE_POLICY", _POLICIES),
        python=env.get("OPS_POD_PYTHON") or "python3",
        namespace=_name(env, "OPS_POD_NAMESPACE", "default"),
        connection_id=env.get("OPS_KUBERNETES_CONNECTION", ""),
        kube_config=str(project_root / env["OPS_KUBECONFIG"]) if env.get("OPS_KUBECONFIG") else "",
        mounts=tuple(_mount(text) for text in env.get("OPS_POD_VOLUMES", "").split()),
        exchange=_exchange(env.get("OPS_POD_EXCHANGE", "")),
        secret=_name(env, "OPS_POD_SECRET", ""),
        endpoint=env.get("OPS_POD_S3_ENDPOINT", ""),
        resources=_resources(env),
        gpu_resource=env.get("OPS_POD_GPU_RESOURCE") or "nvidia.com/gpu",
        keep_failed=_truth(env, "OPS_POD_KEEP_FAILED"),
        deferrable=_truth(env, "OPS_POD_DEFERRABLE"),
        schedule_seconds=_seconds(env, "OPS_POD_SCHEDULE_SECONDS", 3600.0),
        start_seconds=_seconds(env, "OPS_POD_START_SECONDS", 600.0),
        check_seconds=_seconds(env, "OPS_POD_CHECK_SECONDS", 5.0),
        store_seconds=_seconds(env, "OPS_POD_STORE_SECONDS", 300.0),
        max_seconds=_seconds(env, "OPS_POD_MAX_SECONDS", _WEEK_SECONDS),
        template=project_root / template if template else here,
        sidecar_image=env.get("OPS_POD_SIDECAR_IMAGE", ""),
    )


def _mount(text: str) -> Mount:
    kind, _, rest = text.partition(":")
    source, _, path = rest.partition(":")
    is_source = _NAME.fullmatch(source) if kind == "pvc" else kind == "host" and PurePosixPath(source).is_absolute()
    if not is_source or not PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or path == "/":
        raise ConfigError(
            f"OPS_POD_VOLUMES: {text} is no volume", "give pvc:CLAIM:/path or host:/folder:/path, several with spaces"
        )
    return Mount(kind, source, Path(path))


def _exchange(place: str) -> str:
    if place:
        try:
            parse_s3_uri(place)
        except OpsError as error:
            raise ConfigError(f"OPS_POD_EXCHANGE: {error.message}", error.hint) from None
    return place


def _resources(env: Mapping[str, str]) -> PodRequest:
    values: dict[str, Any] = {
        "gpus": env.get("OPS_POD_GPUS") or None,
        "cpu": env.get("OPS_POD_CPU") or None,
        "memory": env.get("OPS_POD_MEMORY") or None,
        "node_selector": dict(_pair(text) for text in env.get("OPS_POD_NODE_SELECTOR", "").split()) or None,
        "tolerations": env.get("OPS_POD_TOLERATIONS", "").split() or None,
    }
    return build_config(PodRequest, values, where="OPS_POD_*")


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f"OPS_POD_NODE_SELECTOR: {text}: not label=value")
    return name, value


def _one_of(env: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = env.get(name) or allowed[0]
    if value not in allowed:
        raise ConfigError(f"{name}={value}: not known", f"one of {', '.join(allowed)}")
    return value


def _name(env: Mapping[str, str], name: str, default: str) -> str:
    value = env.get(name) or default
    if value and not _NAME.fullmatch(value):
        raise ConfigError(f"{name}={value}: no name in Kubernetes", "small letters, digits, dashes")
    return value


def _truth(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name, "").strip().lower()
    if value not in _TRUE | _FALSE:
        raise ConfigError(f"{name}={value}: says neither yes nor no")
    return value in _TRUE


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigError(f"{name}={text}: not a time in seconds", "a number above zero")
    return value
