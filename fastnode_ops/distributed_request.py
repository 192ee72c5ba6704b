"""What a person may ask of the distributed workflow: all of a standalone training, and who makes its samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.remote.hosts import MAX_HOSTS, parse_host, parse_hosts
from fastnode_ops.remote.this_machine import THIS_MACHINE
from fastnode_ops.requests import Plan, StandaloneRequest, plan_standalone
from ops_common.config import build_config
from ops_common.errors import ConfigError, DataError
from ops_common.pod_request import PodField

DEFAULT_REMOTE_DIR = "/data/datagen"
"""Our folder on hosts that are reached over ssh. On this machine it is a hidden one beside the corpora."""

_ABSOLUTE = r"^/[^\x00-\x1f*?\[\\]*[^\x00-\x1f*?\[\\/]$"
_SSH_FILES = ("ssh_key", "ssh_known_hosts", "ssh_config")
_MAX_BYTES = 1_000_000_000_000_000

Bytes = Annotated[int, Field(ge=1_000_000, le=_MAX_BYTES)]
Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$")]


class DistributedRequest(StandaloneRequest):
    """A training whose samples are made ahead, by many hosts, and brought here as files."""

    hosts: list[str] | None = Field(
        None,
        max_length=MAX_HOSTS,
        description="Hosts that make samples, each as [user@]name[:port], reached over ssh; an IPv6 address in "
        f"brackets; {THIS_MACHINE} is this one, without ssh. Empty: this machine alone.",
    )
    remote_dir: str | None = Field(
        None,
        pattern=_ABSOLUTE,
        max_length=1_000,
        description="Our folder on every host, absolute; new, empty, or of an earlier run. Empty: "
        f"{DEFAULT_REMOTE_DIR}; when this machine is the only host: a folder of the deployment.",
    )
    remote_python: str | None = Field(
        None,
        pattern=_ABSOLUTE,
        max_length=1_000,
        description="Interpreter on the hosts that has all libraries. Empty: an environment is made there, once.",
    )
    ssh_key: str | None = Field(
        None, min_length=1, description="File with the private key for the hosts. Empty: as ssh is configured."
    )
    ssh_known_hosts: str | None = Field(
        None,
        min_length=1,
        description="File with the keys of the hosts; no other host is talked to. Empty: the user's.",
    )
    ssh_config: str | None = Field(
        None, min_length=1, description="Configuration of ssh in the place of the user's. Empty: the user's."
    )
    sample_tasks: int = Field(
        0,
        ge=0,
        le=MAX_HOSTS,
        description="Tasks of this workflow that make samples, in the place of hosts: pods where the deployment runs "
        "them in pods, else processes of the workers. 0: hosts make them.",
    )
    sample_pod: PodField = Field(
        None,
        description="Only where these run in pods, what each of them gets, as in pod. Empty: no GPU, the rest as the "
        "deployment says.",
    )
    data_steps: int | None = Field(
        None,
        ge=1,
        le=100_000_000,
        description="Training batches to make, all hosts together; more steps read them again. Empty: as steps.",
    )
    samples_per_file: int = Field(500, ge=1, le=100_000, description="Training batches in a sample file.")
    host_workers: int = Field(0, ge=0, le=256, description="Processes on each host that make samples; 0: one per core.")
    max_host_bytes: Bytes = Field(
        20_000_000_000,
        description="Bytes of finished files at which a host pauses until they were fetched and deleted.",
    )
    min_free_bytes: int = Field(
        2_000_000_000, ge=0, le=_MAX_BYTES, description="Bytes that must be free on a host beyond what is copied there."
    )
    max_local_bytes: Bytes = Field(
        20_000_000_000, description="Bytes that sample files may take here; fetching pauses there until some were used."
    )
    delete_remote: bool | None = Field(
        None,
        description="Delete samples on the hosts as soon as they were used; then they cannot be read again. Empty: "
        "when the training reads them once.",
    )
    keep_samples: bool = Field(False, description="Leave what is on the hosts when the training has ended well.")
    min_files_before_training: int = Field(
        1, ge=1, le=1_000_000, description="Verified sample files that must be here before the training starts."
    )
    first_files_hours: float = Field(
        12.0, ge=0.01, le=720, description="Hours that these may take; after that the run fails."
    )
    patience_hours: float = Field(
        1.0, ge=0.01, le=720, description="Hours that the training waits for a file before it fails, to be tried again."
    )
    syncer_address: Address = Field(
        "127.0.0.1",
        description="Address of this machine as seen from where the training runs: here, or in a pod.",
    )

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, values: list[str] | None) -> list[str] | None:
        try:
            for value in values or ():
                parse_host(value)  # one host each: the form has a line for each
            if values:
                parse_hosts(values)  # none of them twice
        except ConfigError as error:
            raise ValueError(f"{error.message} ({error.hint})") from None
        return values

    @model_validator(mode="after")
    def _makes_samples_in_one_way(self) -> DistributedRequest:
        if self.sample_tasks and self.hosts:
            raise ValueError("hosts and sample_tasks both say who makes the samples: leave one of them empty")
        return self


def plan_distributed(
    values: Mapping[str, Any],
    *,
    project_root: Path,
    data_root: Path,
    run_dir: Path,
    destination: str,
    rundb: str,
    checkout: Path,
) -> Plan:
    """Check a request for a new model from samples of many hosts, and make every choice that it leaves open.

    Args:
        values: The request's fields.
        project_root: Relative files are meant from here.
        data_root: Folder of all corpora.
        run_dir: Folder of this run: the pipeline's folder. Its name is that of the samples on the hosts.
        destination: Where models are published when the request does not say.
        rundb: Where run records go when the request does not say.
        checkout: The product's checkout when the request does not say.

    Returns:
        The arguments of the tasks.

    Raises:
        ConfigError: A field is unknown or out of range, or the settings that follow are wrong.
        DataError: A file or folder does not exist.
    """
    request = build_config(DistributedRequest, values, where="conf")
    inherited = {name: values[name] for name in StandaloneRequest.model_fields if name in values}
    planned = plan_standalone(
        inherited,
        project_root=project_root,
        data_root=data_root,
        run_dir=run_dir,
        destination=destination,
        rundb=rundb,
        checkout=checkout,
    )
    return {
        **planned,
        **_sample_plan(request, planned["steps"], data_root, run_dir),
        **{name: _file(name, getattr(request, name), project_root) for name in _SSH_FILES},
    }


def _sample_plan(request: DistributedRequest, steps: int, data_root: Path, run_dir: Path) -> Plan:
    """Who makes how many samples, and where they are there and here."""
    data_steps = min(request.data_steps or steps, steps)
    shares = [f"{number}-of-{request.sample_tasks}" for number in range(1, request.sample_tasks + 1)]
    hosts = [] if shares else request.hosts or [str(THIS_MACHINE)]
    own_dir = str(data_root / ".datagen") if hosts == [str(THIS_MACHINE)] else DEFAULT_REMOTE_DIR
    remote_dir = request.remote_dir or own_dir
    samples_dir = f"{remote_dir}/samples/{run_dir.name}"
    share_dir = PipelineDir(run_dir).shares / "{item}"
    share_samples = f"{share_dir}/samples"
    return {
        **request.model_dump(
            include={
                "samples_per_file",
                "host_workers",
                "max_host_bytes",
                "min_free_bytes",
                "max_local_bytes",
                "keep_samples",
                "syncer_address",
            }
        ),
        "hosts": hosts,
        "shares": shares,
        "share_dir": str(share_dir),
        "share_samples": share_samples,
        "sample_pod": {"gpus": 0, **(request.sample_pod or {})},
        "synced_hosts": [samples_dir if host == str(THIS_MACHINE) else host for host in hosts]
        + [share_samples.replace("{item}", share) for share in shares],
        "remote_dir": remote_dir,
        "remote_python": request.remote_python or "",
        "samples_dir": samples_dir,
        "dataset": run_dir.name,
        "data_dir": str(run_dir / "data"),
        "data_steps": data_steps,
        "delete_remote": data_steps >= steps if request.delete_remote is None else request.delete_remote,
        "min_files": min(request.min_files_before_training, -(-data_steps // request.samples_per_file)),
        "first_files_hours": request.first_files_hours,
        "patience_seconds": request.patience_hours * 3_600,
    }


def _file(name: str, value: str | None, project_root: Path) -> str:
    if not value:
        return ""
    path = project_root / value
    if not path.is_file():
        raise DataError(f"conf: {name}: {path} does not exist", "paths start at the checkout's root, or are absolute")
    return str(path)
