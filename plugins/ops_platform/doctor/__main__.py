"""`python -m ops_platform.doctor`: every check, one line each; ends with 1 when one has failed."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from ops_common.errors import OpsError
from ops_platform import settings
from ops_platform.doctor import airflow_config, cluster, machine, network, packages
from ops_platform.doctor.finding import Finding, guarded, worst
from ops_platform.embedded import layout as places
from ops_platform.embedded import lifecycle
from ops_platform.embedded.layout import Layout
from ops_platform.embedded.lifecycle import Instance

EXIT_FAILED = 1
_COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}
_S3_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_PROFILE")
_PROGRAMS = {"make": "make", "git": "git", "ssh": "openssh-client", "rsync": "rsync"}


def main(arguments: list[str] | None = None) -> int:
    """Look at everything and print what was found.

    Returns:
        0: nothing has failed; 1: something has; 3: the settings themselves are wrong.
    """
    asked = _parser().parse_args(arguments)
    try:
        layout = places.load_layout()
    except OpsError as error:
        findings = [Finding("settings", "fail", error.message, error.hint)]
        _print(findings, as_json=asked.json)
        return error.exit_code
    findings = examine(layout, asked)
    _print(findings, as_json=asked.json)
    return EXIT_FAILED if worst(findings) == "fail" else 0


def examine(layout: Layout, asked: argparse.Namespace) -> list[Finding]:
    """All findings, in the order in which one would mend things."""
    config = layout.config
    instance = _running(layout)
    folders = {"state": layout.home, "data": config.data_root, "runs": config.runs_root}
    checks: list[tuple[str, Callable[[], list[Finding]]]] = [
        ("python", lambda: packages.check_python(writes_bytecode="PYTHONDONTWRITEBYTECODE" not in os.environ)),
        ("packages", lambda: packages.check_packages(config.project_root / "requirements.txt")),
        ("programs", lambda: machine.check_programs(_PROGRAMS, is_needed=bool(asked.hosts))),
        ("memory", machine.check_memory),
        ("disk", lambda: machine.check_disk(folders)),
        ("processes", lambda: machine.check_stray_processes(layout)),
        ("ports", lambda: network.check_ports(config.asked_ports, instance)),
        ("airflow settings", lambda: _airflow(layout)),
        ("object store", lambda: _object_store(layout, instance, asked.destination)),
        ("hosts", lambda: _hosts(asked)),
        ("cluster", lambda: _cluster(config)),
    ]
    return [finding for name, look in checks for finding in guarded(name, look)]


def _running(layout: Layout) -> Instance | None:
    try:
        instance = lifecycle.read_instance(layout)
    except OpsError:
        return None  # the check of processes says so
    return instance if instance and any(service.is_running() for service in instance.services) else None


def _airflow(layout: Layout) -> list[Finding]:
    """Another deployment has its settings in the environment; those of the embedded platform are ours."""
    config = layout.config
    if "AIRFLOW__CORE__EXECUTOR" in os.environ:
        return airflow_config.check_airflow(os.environ, config)
    embedded = {"AIRFLOW__CORE__EXECUTOR": "LocalExecutor", "AIRFLOW__CORE__PARALLELISM": places.PARALLELISM}
    return [*airflow_config.check_airflow(embedded, config), *airflow_config.check_stray_variables(os.environ)]


def _object_store(layout: Layout, instance: Instance | None, destination: str) -> list[Finding]:
    place = destination or layout.config.destination
    if instance is not None and not destination:
        with _environment(places.object_store_variables(layout, instance.ports)):
            return network.check_object_store(place, creates_bucket=True)
    if not destination and not any(name in os.environ for name in _S3_VARIABLES):
        text = f"not asked: the platform does not run, and none of {', '.join(_S3_VARIABLES)} is set"
        return [Finding("object store", "ok", text)]
    return network.check_object_store(place)


def _hosts(asked: argparse.Namespace) -> list[Finding]:
    if not asked.hosts.split():
        return [Finding("hosts", "ok", "none are named (TRAINDATA_HOSTS)")]
    options = network.ssh_options(asked.ssh_key, asked.ssh_known_hosts, asked.ssh_config)
    return network.check_hosts([asked.hosts], asked.remote_dir, asked.remote_python, options)


def _cluster(config: settings.Settings) -> list[Finding]:
    if config.mode != "pod":
        return [Finding("cluster", "ok", f"not used (OPS_MODE={config.mode})")]
    return cluster.check_cluster(config.pods)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Variables for the clients of S3, in the place of those that stand there, for a while."""
    before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for name in before:
        del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)
        os.environ.update(before)


def _print(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        listed = [asdict(finding) for finding in findings]
        print(json.dumps({"status": worst(findings), "findings": listed}, ensure_ascii=False, indent=1))
        return
    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        line = Text(f"{finding.status:4}", style=_COLORS[finding.status]).append(f"  {finding.check}: ", style="bold")
        console.print(line.append(finding.text, style="default"))
        if finding.hint and finding.status != "ok":
            console.print(Text(f"        hint: {finding.hint}", style="dim"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ops_platform.doctor",
        description="Looks whether this machine, this checkout and the services around it are fit to work.",
        epilog="example: make doctor TRAINDATA_HOSTS='me@gen1 me@gen2' SSH_KEY=~/.ssh/datagen",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    parser.add_argument("--destination", default="", help="place to try, s3://bucket/prefix; that of the settings")
    parser.add_argument("--hosts", default="", help="hosts that make samples, as [user@]name[:port], with spaces")
    parser.add_argument("--remote-dir", default="/data/datagen", help="our folder on the hosts")
    parser.add_argument("--remote-python", default="", help="interpreter on the hosts; python3")
    for name in ("key", "known-hosts", "config"):
        parser.add_argument(f"--ssh-{name}", default="", help="of ssh; as your own configuration says")
    return parser


if __name__ == "__main__":
    sys.exit(main())
