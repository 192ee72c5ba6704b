"""From settings to a vocabulary and encoded blocks; large files are read by a child process.

Reading and encoding 100,000 blocks is some seconds of Python. A child process does it while this one loads TensorFlow,
builds the model and traces it, so that a training starts as soon as the slower of both is done, and the messages that
were read are gone with the child. `python -m gematria_ops.encode.loading` is the child: settings in JSON on standard
input, the pickled answer on standard output, progress on standard error.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.config import RunnerConfig, runner_config
from gematria_ops.data.dataset import read_labelled_blocks
from gematria_ops.data.selecting import selection_for_evaluation
from gematria_ops.encode.encoded_blocks import EncodedBlocks, encode_blocks
from gematria_ops.encode.layouts import annotation_names, graph_builder
from ops_common.config import plain_values
from ops_common.errors import OpsError
from ops_common.progress import Progress

logger = logging.getLogger(__name__)

# Below this size of the files, starting a process costs more than it saves.
MIN_BYTES_FOR_CHILD = 8 << 20


def load_vocabulary(config: RunnerConfig) -> Vocabulary:
    """Read the tokens file of the settings, with its replacement for unknown tokens."""
    return Vocabulary.from_file(config.tokens.file or "", config.tokens.out_of_vocabulary_replacement_token)


def evaluation_settings(config: RunnerConfig) -> RunnerConfig:
    """Return the settings with labels that are not drawn at random: RANDOM is evaluated against MEAN."""
    selection = selection_for_evaluation(config.input.throughput_selection)
    return config.model_copy(update={"input": config.input.model_copy(update={"throughput_selection": selection})})


def load_encoded_blocks(config: RunnerConfig, files: Sequence[str], vocabulary: Vocabulary) -> EncodedBlocks:
    """Read, select, aggregate, scale and encode the blocks that a training or validation uses.

    Raises:
        DataError: A file is damaged, a filter matches nothing, a task has no label, or a block cannot be encoded.
    """
    dropped: Counter[str] = Counter()
    blocks = read_labelled_blocks(
        files,
        config.input.source_filters,
        config.input.task_names,
        config.input.throughput_selection,
        config.input.scaling,
        use_prefixes=config.loss.use_seq2seq_loss,
        drop_counts=dropped,
    )
    encoded = encode_blocks(
        _with_progress(blocks),
        vocabulary,
        len(config.task_names()),
        needs_prefixes=config.model.seq2seq and config.loss.use_seq2seq_loss,
        drop_invalid_blocks=config.input.drop_invalid_blocks,
        graphs=graph_builder(config.model, vocabulary, annotation_names(config)),
    )
    return dataclasses.replace(encoded, dropped={**dropped, **encoded.dropped})


class BlockLoader:
    """Loads the input files of some settings, in a child process if they are large. Use as a context manager.

    Args:
        config: All settings.
        min_bytes: Files of this size in sum are read by a child.

    Raises:
        DataError: The tokens file cannot be read.
    """

    def __init__(self, config: RunnerConfig, min_bytes: int = MIN_BYTES_FOR_CHILD) -> None:
        self._config = config
        self._child: subprocess.Popen[bytes] | None = None
        self.vocabulary = load_vocabulary(config)
        if sum(path.stat().st_size for path in map(Path, config.input.files) if path.is_file()) >= min_bytes:
            self._child = _start_child(config)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._child is not None:
            self._child.kill()
            with self._child:  # closes the pipe and waits
                pass

    def load(self) -> EncodedBlocks:
        """Return the encoded blocks, and tell how many there are and how many were dropped; called once.

        Raises:
            DataError: See `load_encoded_blocks`.
            OpsError: The child process was ended from outside.
        """
        if self._child is None:
            encoded = load_encoded_blocks(self._config, self._config.input.files, self.vocabulary)
        else:
            encoded = _answer_of(self._child)
        for reason, count in encoded.dropped.items():
            logger.warning("%d blocks dropped: %s", count, reason)
        logger.info(
            "%d blocks, %d instructions, %d of them distinct",
            encoded.num_blocks,
            len(encoded.instruction_ids),
            len(encoded.instruction_splits) - 1,
        )
        return encoded


def _start_child(config: RunnerConfig) -> subprocess.Popen[bytes]:
    # A plain child, not multiprocessing: that would run the caller's main module once more.
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    child = subprocess.Popen(
        [sys.executable, "-m", "gematria_ops.encode.loading"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    if child.stdin is not None:
        with child.stdin:
            child.stdin.write(json.dumps(plain_values(config)).encode("utf-8"))
    return child


def _answer_of(child: subprocess.Popen[bytes]) -> EncodedBlocks:
    content = child.stdout.read() if child.stdout is not None else b""
    exit_code = child.wait()
    if exit_code != 0:
        raise OpsError(
            f"the process that reads the input files ended with exit code {exit_code}",
            "look at its last lines above; -9 may mean that memory ran out",
        )
    # Our own child wrote it a moment ago.
    answer = pickle.loads(content)
    if isinstance(answer, OpsError):
        raise answer
    return answer  # type: ignore[no-any-return]


def _with_progress(blocks: Iterable[Any]) -> Iterator[Any]:
    with Progress("read and encode", None, "blocks") as progress:
        for block in blocks:
            yield block
            progress.advance()


def _run_child() -> None:
    """Be the child process: it dies with its parent's group without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    config = runner_config(json.loads(sys.stdin.buffer.read()))
    answer: EncodedBlocks | OpsError
    try:
        answer = load_encoded_blocks(config, config.input.files, load_vocabulary(config))
    except OpsError as error:
        answer = error
    try:
        sys.stdout.buffer.write(pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(1)  # the parent is gone


if __name__ == "__main__":
    _run_child()
