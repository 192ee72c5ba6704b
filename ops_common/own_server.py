"""A server that one command starts and another one ends, and that runs on its own in between.

A small file says which process it is, and when that was started, so that exactly this one is stopped and never another
that has its number by now.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import psutil

from ops_common.artifacts import write_json
from ops_common.errors import ConfigError
from ops_common.processes import start_process, stop_process_group, wait_until

LOG = logging.getLogger(__name__)

START_SECONDS = 180.0
_ANSWER_SECONDS = 10.0
_CLOCK_SECONDS = 2.0  # the system counts from its own start, whose time moves when the clock is set


@dataclass(frozen=True, slots=True)
class OwnServer:
    """A server, running or not.

    Args:
        path: The file that says which process it is: `<name>.json`; beside it the server writes its URL to `<name>.url`
            as soon as it answers, and `<name>.log` has its output.
        what: What it is, for messages.
    """

    path: Path
    what: str

    @property
    def ready_path(self) -> Path:
        """Where the server writes its URL."""
        return self.path.with_suffix(".url")

    def running(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is known of it if it runs, answers, and was started for this; else nothing."""
        state = self._state()
        if state and state.items() >= wanted.items() and state["url"] and is_healthy(state["url"]):
            return state
        return {}

    def start(self, command: Sequence[str], wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Start it; returns when it answers.

        Args:
            command: Program and arguments; it writes its URL to `ready_path`.
            wanted: What it is started for, to be kept with `process_id`, `started_at` and `url`.

        Raises:
            ServiceError: It ended, or did not answer in time; with the end of its log.
        """
        log = self.path.with_suffix(".log")
        self.ready_path.unlink(missing_ok=True)
        process = start_process(command, log)
        try:
            state = {**wanted, "process_id": process.pid, "started_at": psutil.Process(process.pid).create_time()}
            write_json(self.path, state)  # before anything can fail: whoever stops it must find it
            wait_until(self.ready_path.exists, START_SECONDS, self.what, process=process, log_path=log)
            state["url"] = self.ready_path.read_text(encoding="utf-8").strip()
            wait_until(lambda: is_healthy(state["url"]), START_SECONDS, self.what, process=process, log_path=log)
            write_json(self.path, state)
        except BaseException:
            stop_process_group(process)
            self.path.unlink(missing_ok=True)
            raise
        LOG.info("%s answers at %s, its log is %s", self.what, state["url"], log)
        return state

    def stop(self) -> bool:
        """Stop it; returns whether it was running."""
        state = self._state()
        if state:
            stop_process_group(int(state["process_id"]))
        self.path.unlink(missing_ok=True)
        return bool(state)

    def _state(self) -> dict[str, Any]:
        """What is known of it while its process runs; empty when there is none."""
        try:
            state = json.loads(self.path.read_bytes())
            process = psutil.Process(int(state["process_id"]))
            is_same = abs(process.create_time() - state["started_at"]) < _CLOCK_SECONDS
            is_alive = process.status() != psutil.STATUS_ZOMBIE
            is_ours = os.getsid(process.pid) == process.pid
        except (OSError, ValueError, KeyError, TypeError, psutil.Error):
            return {}
        return {"url": "", **state} if is_same and is_alive and is_ours else {}


def is_healthy(url: str) -> bool:
    """Whether a server answers at `/healthz`; asked without a proxy, which knows nothing of this machine.

    Raises:
        ConfigError: It is not the URL of a server.
    """
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"{url!r} is not the URL of a server", "give http://<host>:<port>")
    opener = build_opener(ProxyHandler({}))
    with suppress(OSError, ValueError), opener.open(f"{url.rstrip('/')}/healthz", timeout=_ANSWER_SECONDS) as answer:
        return bool(answer.status == 200)
    return False
