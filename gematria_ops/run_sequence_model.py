"""Train a sequence model, or predict with one: `python -m gematria_ops.run_sequence_model --gematria_action=...`.

The flags are those of the public Gematria runner (`--help` lists them). Flags are checked before anything heavy is
loaded, so that a typing mistake costs no wait. Exit codes: 0 done, 2 wrong flags, 3 settings, 4 data, 130 and 143 after
SIGINT and SIGTERM, with a checkpoint written.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from absl import flags
from absl import logging as absl_logging

from gematria_ops.config import Action, RunnerConfig
from gematria_ops.config.program import run_program
from gematria_ops.config.readiness import check_sequence_model
from gematria_ops.flags import config_from_flags, define_flags
from ops_common.errors import ConfigError, UsageError

logger = logging.getLogger(__name__)

PROGRAM = "run_sequence_model"


def main(argv: Sequence[str] | None = None) -> int:
    """Run with command-line arguments (the program's name first) and return the exit code."""
    return run_program(PROGRAM, _define_flags, _run, argv)


def _define_flags() -> None:
    define_flags(flags.FLAGS)
    flags.FLAGS.set_default("verbosity", absl_logging.INFO)


def _run() -> None:
    absl_logging.use_absl_handler()
    config = config_from_flags(flags.FLAGS, RunnerConfig)
    try:
        check_sequence_model(config)
    except ConfigError as error:
        raise UsageError(error.message, error.hint) from None
    _quieten_tensorflow()
    if config.action is Action.PREDICT:
        _predict(config)
    else:
        _train(config)


def _quieten_tensorflow() -> None:
    """Leave out TensorFlow's remarks about the processor; whoever wants them sets the variable."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")


def _train(config: RunnerConfig) -> None:
    from gematria_ops.encode.loading import BlockLoader

    with BlockLoader(config) as blocks:
        from gematria_ops.training.train import train

        logger.info("%s", train(config, blocks=blocks).as_text())


def _predict(config: RunnerConfig) -> None:
    from gematria_ops.inference.predictor import predict_files

    logger.info("%s", predict_files(config).as_text())


if __name__ == "__main__":
    sys.exit(main())
