"""What a task's pod has to run and to see: the command, the folders, the pod's specification. No Kubernetes in here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml

from ops_common.errors import ConfigError
from ops_common.pod_request import PodRequest, toleration_fields
from ops_platform.command_line import command_name, command_options
from ops_platform.pod_settings import PodSettings
from ops_platform.settings import Settings

RESULT_COPY = "/airflow/xcom/return.json"
"""Where the operator's sidecar reads a task's result."""


@dataclass(frozen=True, slots=True)
class PodWork:
    """One task's work in a pod.

    Attributes:
        command: The container's command.
        folders: Folders that come and go through the exchange, by name; none when volumes hold them all.
        own_folders: Where the pod has empty folders of its own to hold these.
        inputs: Files that are copied into the run's folder first, since pods see nothing else of the worker's disk.
        result_file: Where the command leaves its result.
        fetched_file: What the worker remembers of the exchange.
        exchange_name: The task's name in the exchange.
    """

    command: list[str]
    folders: Mapping[str, Path]
    own_folders: list[Path]
    inputs: Mapping[Path, Path]
    result_file: Path
    fetched_file: Path
    exchange_name: str


def plan_work(
    library: str,
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    *,
    run_dir: Path,
    files_name: str,
    exchange_name: str,
    config: Settings,
) -> PodWork:
    """Says what a task's pod runs and sees.

    Args:
        library: The package whose command is run.
        function: The task function.
        arguments: Its arguments, rendered. Those called `..._dir` are folders that the pod needs, those called
            `..._file` files.
        run_dir: Folder of the run.
        files_name: What the task's files in `results/` are called.
        exchange_name: Its name in the exchange.
        config: The deployment's settings.

    Raises:
        ConfigError: An argument does not fit, or a folder is on no volume and there is no exchange.
    """
    pods, results = config.pods, run_dir / "results"
    folders = _exchanged(pods, {"run_dir": run_dir, **_paths(arguments, "_dir")})
    shared = [*folders.values(), *(mount.path for mount in pods.mounts)]
    inputs_dir = results / f".{files_name}.inputs"
    copies = {
        name: inputs_dir / f"{name}-{path.name}"
        for name, path in _paths(arguments, "_file").items()
        if path.is_file() and not _is_below(path, shared)
    }
    result_file = results / f"{files_name}.json"
    options = command_options(function, {**arguments, **{name: str(path) for name, path in copies.items()}})
    wrapper = [f"--result-file={result_file}", f"--result-copy={RESULT_COPY}"]
    if folders:
        wrapper += [f"--exchange={pods.exchange}", f"--name={exchange_name}", f"--store-seconds={pods.store_seconds:g}"]
        wrapper += [f"--folder={name}={path}" for name, path in folders.items()]
    task = [pods.python, "-m", library, command_name(function), *options, f"--result-file={result_file}"]
    return PodWork(
        command=[pods.python, "-m", "ops_common.pod_command", *wrapper, "--", *task],
        folders=folders,
        own_folders=_outermost(_home_of(path, (config.data_root, config.runs_root)) for path in folders.values()),
        inputs={Path(arguments[name]): copy for name, copy in copies.items()},
        result_file=result_file,
        fetched_file=results / f".{files_name}.fetched",
        exchange_name=exchange_name,
    )


def render_pod(
    work: PodWork,
    *,
    library: str,
    function: str,
    request: PodRequest,
    environment: Mapping[str, str],
    needs_secret: bool,
    pods: PodSettings,
) -> dict[str, Any]:
    """The pod's specification, from the deployment's template.

    Args:
        work: What the pod runs and sees.
        library: Whose image it takes.
        function: Name of the task function.
        request: What the run asks for.
        environment: Variables of the command; nothing secret.
        needs_secret: Whether the command is given the keys of the object store, by the name of their secret.
        pods: The deployment's settings.

    Raises:
        ConfigError: The template cannot be read, or does not make a pod.
    """
    wanted = request.over(pods.resources)
    try:
        jinja = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
        text = jinja.from_string(pods.template.read_text(encoding="utf-8")).render(
            namespace=pods.namespace,
            function=function,
            image=pods.image(library),
            image_policy=pods.image_policy,
            command=work.command,
            cpu=wanted.cpu,
            memory=wanted.memory,
            gpus=wanted.gpus or 0,
            gpu_resource=pods.gpu_resource,
            node_selector=wanted.node_selector or {},
            tolerations=[toleration_fields(toleration) for toleration in wanted.tolerations or ()],
            environment={"PYTHONUNBUFFERED": "1", **environment},
            secret=pods.secret if needs_secret else "",
            mounts=pods.mounts,
            own_folders=work.own_folders,
        )
        pod = yaml.safe_load(text)
    except (OSError, jinja2.TemplateError, yaml.YAMLError) as error:
        raise ConfigError(f"{pods.template} does not make a pod: {error}", "correct OPS_POD_TEMPLATE") from None
    if not isinstance(pod, dict) or pod.get("kind") != "Pod":
        raise ConfigError(f"{pods.template} does not make a pod: its kind is not Pod", "correct OPS_POD_TEMPLATE")
    return pod


def _paths(arguments: Mapping[str, Any], ending: str) -> dict[str, Path]:
    return {
        name: Path(value)
        for name, value in arguments.items()
        if name.endswith(ending) and isinstance(value, str) and value.startswith("/")
    }


def _exchanged(pods: PodSettings, folders: Mapping[str, Path]) -> dict[str, Path]:
    """The folders that are on no volume, without those that lie in another one of them."""
    on_none = {name: path for name, path in folders.items() if not _is_below(path, (m.path for m in pods.mounts))}
    if on_none and not pods.exchange:
        name, path = next(iter(on_none.items()))
        raise ConfigError(
            f"{name} {path} is on no volume that pods see", "set OPS_POD_VOLUMES, or OPS_POD_EXCHANGE=s3://bucket/pods"
        )
    outer = _outermost(on_none.values())
    # Two names of one folder: the first one stands for it.
    return {
        name: path
        for name, path in on_none.items()
        if path in outer and name == next(other for other, same in on_none.items() if same == path)
    }


def _home_of(folder: Path, roots: Iterable[Path]) -> Path:
    """Where the pod's own folder begins: a level above, where it can be, since steps rename folders as a whole."""
    return next((root for root in roots if folder != root and folder.is_relative_to(root)), folder)


def _outermost(paths: Iterable[Path]) -> list[Path]:
    unique = sorted(set(paths))
    return [path for path in unique if not any(path != other and path.is_relative_to(other) for other in unique)]


def _is_below(path: Path, roots: Iterable[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)
