"""Runs a task's command in a pod: brings its folders, runs it, stores what it left, and hands its result over.

    python -m ops_common.pod_command --result-file=/srv/runs/x/results/train_model.json
        --result-copy=/airflow/xcom/return.json --exchange=s3://bucket/pods --name=gematria_train/x/train_model
        --folder=run_dir=/srv/runs/x -- python -m gematria_ops train-model ...

Without `--exchange` the folders are on a volume, and nothing is brought or stored. With it, snapshots of the folders
are also stored while the command runs, so that a pod whose node is lost costs minutes, and after SIGTERM, so that what
a stopped command saved is not lost with the pod. Ends with the status of the command, 128 + the signal number when a
signal ended it.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from ops_common.artifacts import atomic_path
from ops_common.errors import OpsError, ServiceError
from ops_common.exchange import AFTER, BEFORE, ChangedMeanwhileError, Exchange, Snapshot, named_folders
from ops_common.stores import open_store

_NUM_FINAL_TRIES = 5
_POLL_SECONDS = 0.1


class PodCommand:
    """One command in a pod.

    Args:
        command: Program and arguments.
        exchange: Where its folders come from and go to; None: they are there.
        folders: Its folders by name.
        store_seconds: Pause between two snapshots while it runs.
    """

    def __init__(
        self, command: Sequence[str], exchange: Exchange | None, folders: Mapping[str, Path], store_seconds: float
    ) -> None:
        self._command, self._exchange, self._folders = list(command), exchange, dict(folders)
        self._store_seconds = store_seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._is_stopped = False
        self._before: Snapshot | None = None

    def run(self) -> int:
        """Bring, run, store.

        Returns:
            The command's exit status.

        Raises:
            OpsError: The folders could not be brought, or not be stored.
        """
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._on_stop)
        if self._exchange is not None:
            self._before = self._bring(self._exchange)
        if self._is_stopped:
            return 128 + signal.SIGTERM
        self._child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
        if self._is_stopped:
            self._child.terminate()  # asked to stop in the instant before there was anything to stop
        status = self._wait(self._child)
        if self._exchange is not None:
            self._store_finally(status)
        return status

    def _on_stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._is_stopped = True
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()

    def _bring(self, exchange: Exchange) -> Snapshot:
        before = exchange.read(BEFORE)
        if before is None:
            raise ServiceError(f"the exchange has no snapshot {BEFORE!r} of this task", "start the task again")
        for folder in self._folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        num_files = exchange.fetch(before, self._folders)
        _say(f"brought {num_files} files of {before.size_bytes} bytes")
        return before

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        next_store = time.monotonic() + self._store_seconds
        while (status := child.poll()) is None:
            if self._exchange is not None and not self._is_stopped and time.monotonic() >= next_store:
                self._store_meanwhile(self._exchange)
                next_store = time.monotonic() + self._store_seconds
            time.sleep(_POLL_SECONDS)
        return 128 - status if status < 0 else status

    def _store_meanwhile(self, exchange: Exchange) -> None:
        try:
            exchange.send(AFTER, self._folders, answers=self._answers())
        except OpsError as error:
            _say(f"no snapshot this time: {error}")

    def _store_finally(self, status: int) -> None:
        assert self._exchange is not None
        for left in reversed(range(_NUM_FINAL_TRIES)):
            try:
                snapshot = self._exchange.send(AFTER, self._folders, answers=self._answers(), status=status)
            except ChangedMeanwhileError:  # a process that the command left behind still writes
                if not left:
                    raise
                time.sleep(_POLL_SECONDS)
            else:
                _say(f"stored a snapshot of {snapshot.size_bytes} bytes")
                return

    def _answers(self) -> str:
        return self._before.digest if self._before else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run the command; errors go to standard error."""
    parser = argparse.ArgumentParser(prog="pod_command", description="Run a task's command in a pod.")
    parser.add_argument("--exchange", default="", help="place that the folders come from and go to")
    parser.add_argument("--name", default="", help="name of the task there")
    parser.add_argument("--folder", action="append", default=[], help="name=path of a folder to exchange")
    parser.add_argument("--store-seconds", type=float, default=300.0, help="pause between two snapshots")
    parser.add_argument("--result-file", type=Path, required=True, help="file that the command leaves its result in")
    parser.add_argument("--result-copy", type=Path, required=True, help="where the result is read from")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    try:
        exchange = Exchange(open_store(options.exchange), options.name) if options.exchange else None
        folders = named_folders(options.folder)
        status = PodCommand(options.command, exchange, folders, options.store_seconds).run()
        if status == 0 and options.result_file.is_file():
            with atomic_path(options.result_copy) as temporary:
                shutil.copyfile(options.result_file, temporary)
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return status


def _say(text: str) -> None:
    print(f"[pod] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
