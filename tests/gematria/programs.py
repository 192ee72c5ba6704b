"""Programs as processes of their own: run to the end, or stopped in the middle; and the weights they leave."""

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf


def stop_when_logged(command: list[str], pattern: str, number: signal.Signals) -> tuple[int, str]:
    """Run until a line matches, send a signal, and return exit code and all of standard error."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        lines: list[str] = []

        def until_match() -> Iterator[str]:
            assert process.stderr is not None
            for line in process.stderr:
                yield line
                if re.search(pattern, line):
                    return

        lines.extend(until_match())
        process.send_signal(number)
        assert process.stderr is not None
        lines.extend(process.stderr)
        return process.wait(), "".join(lines)


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def weights(folder: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(folder))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
