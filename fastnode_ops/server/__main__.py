"""``python -m fastnode_ops.server``: the private server that a program starts for itself; see `local.serving`."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from ops_common.errors import OpsError


def main() -> int:
    """Serve until a signal comes; the exit status is that of the error."""
    from fastnode_ops.server.running import DEFAULT_PORT, run_server

    parser = argparse.ArgumentParser(prog="python -m fastnode_ops.server")
    parser.add_argument("--corpus-dir", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--ready-file", type=Path)
    parser.add_argument("--ends-with-parent", action="store_true")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        run_server(
            given.corpus_dir,
            host=given.host,
            port=given.port,
            num_workers=given.workers,
            ready_file=given.ready_file,
            ends_with_parent=given.ends_with_parent,
        )
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
