"""A product that packs its files itself: its own `scripts/build_datadeps.sh` is run instead of our packing."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from ops_common.errors import ConfigError, ServiceError
from ops_common.processes import stop_process_group

LOG = logging.getLogger(__name__)

SCRIPT = "scripts/build_datadeps.sh"

_UNCHANGED_STATUS, _UNCHANGED_TEXTS = 1, ("nothing to do", "unchanged")
_NUM_LAST_LINES, _MAX_LINE = 12, 2_000
_DRAIN_SECONDS = 5.0


def find_build_script(checkout: Path) -> Path | None:
    """A checkout's own script; None when it has none."""
    path = Path(checkout) / SCRIPT
    return path if path.is_file() else None


def run_build_script(script: Path, *, max_seconds: float) -> bool:
    """Run a product's script in its checkout, its output line by line in our log.

    The reference's script ends with status 1 when there was nothing to do (specification 16.4, D59); only together with
    that text it is taken as such.

    Args:
        script: The script.
        max_seconds: How long it may take; then it is ended, with everything that it started.

    Returns:
        Whether it made another bundle; False when it said that there was nothing to do.

    Raises:
        ConfigError: It cannot be started.
        ServiceError: It failed, or took too long.
    """
    last_lines: deque[str] = deque(maxlen=_NUM_LAST_LINES)
    try:
        process = subprocess.Popen(
            ["sh", str(script.absolute())],
            cwd=script.absolute().parents[1],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigError(f"{script} cannot be started: {error.strerror}") from None
    assert process.stdout is not None  # it was started with a pipe
    reader = threading.Thread(target=_stream, args=(process.stdout, last_lines), daemon=True)
    reader.start()
    try:
        status = process.wait(max_seconds)
    except subprocess.TimeoutExpired:
        raise ServiceError(
            f"{script} has not ended after {max_seconds / 60:g} minutes", "run it by hand, or give it more time"
        ) from None
    finally:
        stop_process_group(process)  # also what it left behind
        reader.join(_DRAIN_SECONDS)
        process.stdout.close()
    if status == _UNCHANGED_STATUS and any(text in line.lower() for line in last_lines for text in _UNCHANGED_TEXTS):
        return False
    if status != 0:
        ending = "\n".join(last_lines) or "(it said nothing)"
        raise ServiceError(f"{script} ended with status {status}", f"its last lines:\n{ending}")
    return not (last_lines and last_lines[-1].strip().lower() == "unchanged")


def _stream(lines: Iterable[bytes], last_lines: deque[str]) -> None:
    for line in lines:
        last_lines.append(line.decode("utf-8", "replace").rstrip()[:_MAX_LINE])
        LOG.info("%s", last_lines[-1])
