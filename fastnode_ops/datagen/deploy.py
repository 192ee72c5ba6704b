"""Bring the generation of samples to many hosts: copy, verify, share out the steps, start (specification 11.1).

Three rounds, each for all hosts at once. The first brings everything there while older runs go on. The second stops
those and asks each host what it has made. Then what nobody has is shared out among the hosts that live, and the third
round starts them. A host that fails in one round is out of the next; the others take its ranges.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from fastnode_ops.datagen.bundle import Bundle
from fastnode_ops.datagen.host_agent import HostAgent
from fastnode_ops.datagen.many_hosts import MAX_AT_ONCE, on_each_host
from fastnode_ops.datagen.ranges import format_ranges
from fastnode_ops.datagen.remote_run import HostError, check_name, check_root
from fastnode_ops.datagen.sharing import made_ranges, shares
from fastnode_ops.remote.hosts import Host
from fastnode_ops.remote.ssh import Ssh, SshOptions, shared_connections
from fastnode_ops.remote.this_machine import THIS_MACHINE, ThisMachine
from ops_common.artifacts import MANIFEST_NAME, read_manifest, sha256_file
from ops_common.errors import ConfigError, OpsError, ServiceError

LOG = logging.getLogger(__name__)

ENVIRONMENT_BYTES = 600_000_000
"""About what a virtual environment with the locked requirements takes."""

_CORPUS_COPY_SECONDS = 6 * 3_600.0
_VERIFY_SECONDS = 1_800.0
_ENVIRONMENT_SECONDS = 2_000.0
_STOP_SECONDS = 90.0
_MAX_ARGUMENT_CHARACTERS = 120_000  # Linux takes 128 KiB

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where on the hosts everything goes.

    Args:
        root: Our folder; `remote_run.py` says what is in it.
        dataset: Name of the data set.
        python: The interpreter to use; empty: make an environment with the locked requirements.
        options: How the hosts are reached.

    Raises:
        ConfigError: The folder might hold something else, or the name could lead out of it.
    """

    root: str
    dataset: str
    python: str
    options: SshOptions

    def __post_init__(self) -> None:
        try:
            check_root(self.root, "/")
            check_name(self.dataset)
        except HostError as error:
            raise ConfigError(error.message, error.hint) from None

    def agent(self, host: Host) -> HostAgent:
        """Whom to ask on a host."""
        shell = ThisMachine() if host == THIS_MACHINE else Ssh(host, self.options)
        return HostAgent(shell, self.python_on(host), self.root)

    @contextmanager
    def connected(self) -> Iterator[Place]:
        """Keep the connections to the hosts while the body runs."""
        with shared_connections(self.options) as options:
            yield replace(self, options=options)

    def python_on(self, host: Host) -> str:
        """The interpreter that has all libraries; empty: one has to be made."""
        return self.python or (sys.executable if host == THIS_MACHINE else "")


@dataclass(frozen=True)
class Work:
    """What is to be made.

    Args:
        bundle: The libraries and settings.
        corpus_dir: The corpus here.
        identity: Digest of all that decides what samples are like.
        ranges: Numbers of all ranges.
        data_steps: Training batches, all ranges together.
        samples_per_file: Training batches in a range; the last one may have fewer.
        finished: Ranges that need not be made.
        command: The command of a host; `{ranges}`, `{code}`, `{corpus}`, `{python}`, `{samples}`, `{state}` become what
            they are there.
        min_free_bytes: Room that a host must have beyond what is copied there.
        command_here: What the command gets besides on this machine.
    """

    bundle: Bundle
    corpus_dir: Path
    identity: str
    ranges: Sequence[int]
    data_steps: int
    samples_per_file: int
    finished: Collection[int]
    command: Sequence[str]
    min_free_bytes: int
    command_here: Sequence[str] = ()


@dataclass(frozen=True)
class Deployment:
    """What came of it.

    Args:
        started: The ranges of each host that generates.
        idle: Hosts that live but got nothing to do.
        failed: What went wrong with the others.
    """

    started: dict[Host, list[int]]
    idle: list[Host]
    failed: dict[Host, OpsError]


@dataclass(frozen=True)
class _Arrived:
    """Paths on a host."""

    code: str
    corpus: str
    python: str


def deploy(hosts: Sequence[Host], place: Place, work: Work, *, max_at_once: int = MAX_AT_ONCE) -> Deployment:
    """Bring work to hosts and start it.

    Args:
        hosts: The hosts.
        place: Where on them.
        work: What.
        max_at_once: How many hosts are worked on at the same time.

    Raises:
        ArtifactError: The corpus here is not whole.
    """
    failed: dict[Host, OpsError] = {}

    def round_of(living: Sequence[Host], step: Callable[[Host], T], what: str) -> dict[Host, T]:
        done, errors = on_each_host(living, step, max_at_once)
        for host, error in errors.items():
            LOG.error("%s: %s failed: %s", host, what, error)
        failed.update(errors)
        return done

    corpus_digest, corpus_bytes = _corpus(work.corpus_dir)
    with place.connected() as place:
        arrived = round_of(
            hosts, lambda host: _bring(place.agent(host), place, work, corpus_digest, corpus_bytes), "copying"
        )
        made = round_of(list(arrived), lambda host: _halt(place.agent(host), place, work), "stopping the older run")
        share = shares(work.ranges, work.finished, {str(host): numbers for host, numbers in made.items()})
        busy = {host: share[str(host)] for host in made if share[str(host)]}
        started = round_of(
            list(busy), lambda host: _start(place.agent(host), place, work, arrived[host], busy[host]), "starting"
        )
    idle = [host for host in made if host not in busy]
    return Deployment({host: busy[host] for host in started}, idle, failed)


def deploy_to(host: Host, place: Place, work: Work, numbers: Sequence[int]) -> list[int]:
    """Bring work to one host and start it there, whatever others do.

    Args:
        host: The host.
        place: Where on it.
        work: What.
        numbers: The ranges that are its share.

    Returns:
        Those of them that it is yet to make.

    Raises:
        ArtifactError: The corpus here is not whole.
        ServiceError: The host cannot be reached, or cannot do it.
    """
    with place.connected() as place:
        agent = place.agent(host)
        arrived = _bring(agent, place, work, *_corpus(work.corpus_dir))
        had = _halt(agent, place, work).union(work.finished)
        left = [number for number in numbers if number not in had]
        if left:
            _start(agent, place, work, arrived, left)
    return left


def _bring(agent: HostAgent, place: Place, work: Work, corpus_digest: str, corpus_bytes: int) -> _Arrived:
    """Copy what the host has not, and verify it there."""
    bundle, host = work.bundle, agent.ssh.host
    there = agent.call("prepare", archive=bundle.digest, corpus=corpus_digest, environment=bundle.requirements_digest)
    python = place.python_on(host)
    needs_environment = not python and not there["has_environment"]
    needed = work.min_free_bytes + ENVIRONMENT_BYTES * needs_environment
    needed += 0 if there["has_code"] else 2 * bundle.num_bytes
    needed += 0 if there["has_corpus"] else corpus_bytes
    if there["free_bytes"] < needed:
        raise ServiceError(
            f"host {host}: {there['free_bytes']:,} bytes are free at {place.root}, {needed:,} are needed",
            "free disk space there (make clean_remote), choose another REMOTE_DIR, or leave the host out",
        )
    if not there["has_code"]:
        agent.ssh.rsync_to(bundle.archive, f"{there['incoming']}/{bundle.digest}.tar.gz")
    code = agent.call("take_archive", archive=bundle.digest, timeout=_VERIFY_SECONDS)["code"]
    if not there["has_corpus"]:
        LOG.info("%s: copying the corpus, %d bytes", host, corpus_bytes)
        agent.ssh.rsync_to(work.corpus_dir, f"{there['incoming']}/{corpus_digest}", timeout=_CORPUS_COPY_SECONDS)
    corpus = agent.call("take_corpus", corpus=corpus_digest, timeout=_VERIFY_SECONDS)["corpus"]
    if needs_environment:
        LOG.info("%s: making the environment", host)
        agent.call("make_environment", environment=bundle.requirements_digest, code=code, timeout=_ENVIRONMENT_SECONDS)
    return _Arrived(code, corpus, python or there["environment_python"])


def _halt(agent: HostAgent, place: Place, work: Work) -> set[int]:
    """Stop the older run; returns the ranges that the host has made of this data set."""
    agent.call("stop", dataset=place.dataset, timeout=_STOP_SECONDS)
    told = agent.call("status", dataset=place.dataset, identity=work.identity)
    return made_ranges(told["made"], told["unfinished"], work.data_steps, work.samples_per_file)


def _start(agent: HostAgent, place: Place, work: Work, arrived: _Arrived, numbers: list[int]) -> None:
    text = format_ranges(numbers)
    if len(text) > _MAX_ARGUMENT_CHARACTERS:
        raise ConfigError(f"{len(numbers):,} ranges are too many for one host", "set SAMPLES_PER_FILE higher")
    known = {"{ranges}": text, "{code}": arrived.code, "{corpus}": arrived.corpus, "{python}": arrived.python}
    command = [*work.command, *(work.command_here if agent.ssh.host == THIS_MACHINE else ())]
    for name, value in known.items():
        command = [word.replace(name, value) for word in command]
    agent.call(
        "start",
        dataset=place.dataset,
        identity=work.identity,
        ranges=text,
        command=command,
        environment={"PYTHONPATH": arrived.code, "PYTHONUNBUFFERED": "1"},
    )
    LOG.info("%s: makes ranges %s", agent.ssh.host, text)


def _corpus(folder: Path) -> tuple[str, int]:
    """Digest and size of a corpus."""
    manifest = read_manifest(folder / MANIFEST_NAME)
    return sha256_file(folder / MANIFEST_NAME), sum(entry["size_bytes"] for entry in manifest["files"].values())
