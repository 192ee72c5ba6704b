"""The commands behind `make run`, `make up`, `make stop` and `make status`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console

from ops_common.config import read_values
from ops_common.errors import Interrupted, OpsError, ServiceError, UsageError
from ops_platform.embedded import layout as places
from ops_platform.embedded import lifecycle
from ops_platform.embedded.layout import Layout

USAGE = "usage: python -m ops_platform.embedded up | run [REQUEST] | stop | status | airflow ..."


def main(arguments: list[str]) -> int:
    """Run one command.

    Args:
        arguments: The command's name; for `run` also a file with the conf of gematria_import, instead of the sample's;
            for `airflow` the arguments of Airflow's own command.

    Returns:
        Exit status: 0 when everything that was asked for is true now.
    """
    commands: dict[str, Callable[[Layout, Console], int]] = {"up": _up, "run": _run, "stop": _stop, "status": _status}
    if arguments[:1] == ["airflow"]:
        return _airflow(arguments[1:])
    if len(arguments) == 2 and arguments[0] == "run":
        commands["run"] = partial(_run, request_path=Path(arguments.pop()).absolute())
    if len(arguments) != 1 or arguments[0] not in commands:
        print(USAGE, file=sys.stderr)
        return UsageError.exit_code
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(highlight=False, soft_wrap=True)
    try:
        return commands[arguments[0]](places.load_layout(), console)
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return Interrupted.exit_code


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _say(console: Console) -> Callable[[str], None]:
    started = time.monotonic()
    return lambda line: console.print(f"[dim]{time.monotonic() - started:6.1f} s[/dim]  {line}", markup=True)


def _airflow(arguments: list[str]) -> int:
    """Become Airflow's own command line, in the environment of the running platform."""
    layout = places.load_layout()
    instance = lifecycle.read_instance(layout)
    if instance is None:
        print(f"error: {ServiceError('the platform is not running', 'make up')}", file=sys.stderr)
        return ServiceError.exit_code
    environment = places.service_environment(layout, instance.ports)
    os.execve(sys.executable, [sys.executable, "-m", "airflow", *arguments], environment)


def _up(layout: Layout, console: Console) -> int:
    instance = lifecycle.up(layout, _say(console))
    _print_places(layout, instance, console)
    return 0


def _run(layout: Layout, console: Console, request_path: Path | None = None) -> int:
    from ops_platform.embedded.completion_run import SAMPLE_REQUEST as COMPLETION_REQUEST
    from ops_platform.embedded.main_run import SAMPLE_REQUEST, run_main_job

    say = _say(console)
    root = layout.config.project_root
    conf = read_values(request_path or root / SAMPLE_REQUEST)
    completion_conf = None if request_path else read_values(root / COMPLETION_REQUEST)
    instance = lifecycle.up(layout, say)
    try:
        return run_main_job(layout, instance, conf, console, say, completion_conf)
    except KeyboardInterrupt:
        console.print(f"interrupted; the work goes on at {places.airflow_url(instance.ports)}, `make stop` ends it")
        return Interrupted.exit_code


def _stop(layout: Layout, console: Console) -> int:
    console.print("stopped" if lifecycle.stop(layout, _say(console)) else "nothing was running")
    return 0


def _status(layout: Layout, console: Console) -> int:
    instance = lifecycle.read_instance(layout)
    if instance is None:
        console.print("not running (make up, or make run)")
        return 1
    for service in instance.services:
        state = "running" if service.is_running() else "[red]has ended[/red]"
        console.print(f"{service.name:14} {state:8}  process {service.pid}  {layout.logs_dir / service.name}.log")
    healthy = lifecycle.is_healthy(instance)
    console.print("healthy" if healthy else "[red]not healthy[/red]: `make up` starts it anew, `make stop` ends it")
    _print_places(layout, instance, console)
    return 0 if healthy else 1


def _print_places(layout: Layout, instance: lifecycle.Instance, console: Console) -> None:
    console.print(f"Airflow   {places.airflow_url(instance.ports)}   login {places.USER}, password {places.PASSWORD}")
    console.print(f"S3        http://{places.HOST}:{instance.ports['s3']}   keys in {layout.secrets_path}")
    console.print(f"logs      {layout.logs_dir}")
    console.print(f"command   {layout.airflow_command} dags list")
    console.print("to stop   make stop")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
