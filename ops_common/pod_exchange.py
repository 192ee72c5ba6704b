"""The worker's side of an exchange with a pod: sends a task's folders out, lays what came back over them.

    python -m ops_common.pod_exchange send --exchange=s3://bucket/pods --name=gematria_train/x/train_model
        --folder=run_dir=/srv/runs/x --fetched=/srv/runs/x/results/.train_model.fetched
    python -m ops_common.pod_exchange fetch ...

The file `--fetched` remembers what was laid over the folders last. So what an earlier attempt saved while no worker
was looking is brought before the next attempt is sent out, once, and never over what was made since.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ops_common.artifacts import write_text
from ops_common.errors import OpsError
from ops_common.exchange import AFTER, BEFORE, Exchange, named_folders
from ops_common.stores import open_store


def send(exchange: Exchange, folders: Mapping[str, Path], fetched: Path) -> None:
    """Bring what an earlier attempt left behind, then store what the next one starts from."""
    fetch(exchange, folders, fetched)
    snapshot = exchange.send(BEFORE, folders)
    num_files = sum(len(files) for files in snapshot.folders.values())
    _say(f"sent {num_files} files of {snapshot.size_bytes} bytes")


def fetch(exchange: Exchange, folders: Mapping[str, Path], fetched: Path) -> None:
    """Lay over the folders what the command changed, unless that was done before."""
    before, after = exchange.read(BEFORE), exchange.read(AFTER)
    if before is None or after is None or after.answers != before.digest:
        return  # nothing came back from the attempt that was sent out last
    if fetched.is_file() and fetched.read_text(encoding="utf-8") == after.digest:
        return
    num_files = exchange.fetch(after, folders, since=before)
    write_text(fetched, after.digest)
    state = "is of a command that had not ended" if after.status is None else f"ended with status {after.status}"
    _say(f"brought {num_files} changed files back; what they hold {state}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and do it; errors go to standard error."""
    parser = argparse.ArgumentParser(prog="pod_exchange", description="Exchange a task's folders with its pod.")
    parser.add_argument("verb", choices=["send", "fetch"])
    parser.add_argument("--exchange", required=True, help="place that both sides reach")
    parser.add_argument("--name", required=True, help="name of the task there")
    parser.add_argument("--folder", action="append", required=True, help="name=path of a folder")
    parser.add_argument("--fetched", type=Path, required=True, help="file that remembers what was brought back last")
    options = parser.parse_args(arguments)
    try:
        store = open_store(options.exchange)
        store.ensure_bucket(create=False)
        action = send if options.verb == "send" else fetch
        action(Exchange(store, options.name), named_folders(options.folder), options.fetched)
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def _say(text: str) -> None:
    print(f"[exchange] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
