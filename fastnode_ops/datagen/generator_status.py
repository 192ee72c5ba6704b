"""How a generator gets on, in a file for whoever asks: `.datagen/status.json`."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from fastnode_ops.datagen.ledger import STATE_FOLDER
from ops_common.artifacts import write_json
from ops_common.errors import NoRoomError

logger = logging.getLogger(__name__)

STATUS_NAME = "status.json"
SCHEMA_VERSION = 1

_EVERY_SECONDS = 5.0

State = Literal["running", "paused", "done", "stopped", "failed"]


class GeneratorStatus:
    """Counts, and writes them at every change of the state and every few seconds.

    Args:
        out_dir: The folder of the sample files.
        num_ranges: How many ranges are on the work list.
        num_ranges_made: How many of them were made before.
        max_bytes: What finished files may take together.
        clock: Seconds that only ever grow.
    """

    def __init__(
        self,
        out_dir: Path,
        num_ranges: int,
        num_ranges_made: int,
        max_bytes: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = out_dir / STATE_FOLDER / STATUS_NAME
        self._num_ranges, self.num_ranges_made = num_ranges, num_ranges_made
        self._max_bytes = max_bytes
        self._clock = clock
        self._state: State = "running"
        self._last_error = ""
        self._started_at = _now()
        self._running_since = self._written_at = clock()
        self._running_seconds = 0.0
        self.num_batches = 0
        self.finished_bytes = 0

    @property
    def batches_per_second(self) -> float:
        """Of this run, without its pauses."""
        running = self._clock() - self._running_since if self._state == "running" else 0.0
        seconds = self._running_seconds + running
        return self.num_batches / seconds if seconds > 0 else 0.0

    def change(self, state: State, error: str = "") -> None:
        """Say that the state is another one now; an error stays until the next one."""
        if self._state == "running":
            self._running_seconds += self._clock() - self._running_since
        self._running_since = self._clock()
        self._state = state
        self._last_error = error or self._last_error
        self.write()

    def add_batch(self) -> None:
        """Count a batch."""
        self.num_batches += 1
        if self._clock() - self._written_at >= _EVERY_SECONDS:
            self.write()

    def write(self) -> None:
        """Write the file; on a full disk the older one stays, and the log says so."""
        self._written_at = self._clock()
        values = {
            "schema_version": SCHEMA_VERSION,
            "state": self._state,
            "host": socket.gethostname(),
            "process_id": os.getpid(),
            "started_at": self._started_at,
            "updated_at": _now(),
            "num_ranges_made": self.num_ranges_made,
            "num_ranges_left": self._num_ranges - self.num_ranges_made,
            "num_batches": self.num_batches,
            "batches_per_second": round(self.batches_per_second, 3),
            "finished_bytes": self.finished_bytes,
            "max_bytes": self._max_bytes,
            "last_error": self._last_error,
        }
        try:
            write_json(self._path, values)
        except NoRoomError as error:
            logger.warning("%s", error.message)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
