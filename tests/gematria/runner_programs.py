"""Both runners as real processes: command lines of tiny models, and what they tell on standard error."""

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

PROGRAMS = ("run_sequence_model", "run_granite_model")

TINY = {
    "run_sequence_model": (
        "--gematria_token_embedding_size=4",
        "--gematria_instruction_embedding_size=4",
        "--gematria_block_embedding_size=4",
    ),
    "run_granite_model": (
        "--gematria_node_embedding_size=4",
        "--gematria_edge_embedding_size=4",
        "--gematria_global_embedding_size=4",
        "--gematria_num_message_passing_iterations=1",
        "--gematria_readout_layers=4",
    ),
}


def command(program: str, data: tuple[Path, Path], *flags: str) -> list[str]:
    """Return the command line of a tiny model on the blocks and tokens of `small_blocks.write_data`."""
    return [
        sys.executable,
        "-m",
        f"gematria_ops.{program}",
        f"--gematria_input_file={data[0]}",
        f"--gematria_tokens_file={data[1]}",
        "--gematria_throughput_source_filter=test: one",
        "--gematria_max_blocks_in_batch=20",
        *TINY[program],
        *flags,
    ]


def run(line: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(line, capture_output=True, text=True, check=False)


def start(line: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(line, stderr=subprocess.PIPE, text=True)


def read_until(lines: Iterable[str] | None, pattern: str) -> str:
    """Read up to a line that matches, and return what was read; the process goes on."""
    assert lines is not None
    told = ""
    for line in lines:
        told += line
        if re.search(pattern, line):
            return told
    raise AssertionError(f"{pattern!r} was never told:\n{told}")
