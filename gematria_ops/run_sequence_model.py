"""Train a sequence model, or predict with one: `python -m gematria_ops.run_sequence_model --gematria_action=...`.

The flags are those of the public Gematria runner (`--help` lists them). Flags are checked before anything heavy is
loaded, so that a typing mistake costs no wait. Exit codes: 0 done, 2 wrong flags, 3 settings, 4 data, 130 and 143 after
SIGINT and SIGTERM, with a checkpoint written.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from absl import app, flags
from absl import logging as absl_logging

from gematria_ops.config import Action, RunnerConfig
from gematria_ops.config.readiness import check_sequence_model
from gematria_ops.flags import config_from_flags, define_flags
from ops_common.errors import ConfigError, Interrupted, OpsError, UsageError

logger = logging.getLogger(__name__)

PROGRAM = "run_sequence_model"


def main(argv: Sequence[str] | None = None) -> int:
    """Run with command-line arguments (the program's name first) and return the exit code."""
    arguments = list(sys.argv if argv is None else argv)
    try:
        config = _parse(arguments)
        if config.action is Action.PREDICT:
            _predict(config)
        else:
            _train(config)
    except OpsError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        # Before the first step, or in predict: there is nothing to save.
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return Interrupted.exit_code
    return 0


def _parse(arguments: list[str]) -> RunnerConfig:
    """Turn the arguments into checked settings."""
    app.define_help_flags()
    define_flags(flags.FLAGS)
    flags.FLAGS.set_default("verbosity", absl_logging.INFO)
    try:
        left = flags.FLAGS(arguments)
    except flags.Error as error:
        raise UsageError(str(error), "--help lists the flags") from None
    if len(left) > 1:
        raise UsageError(f"not a flag: {left[1]!r}", "write --name=value, or --name value")
    absl_logging.use_absl_handler()
    config = config_from_flags(flags.FLAGS, RunnerConfig)
    try:
        check_sequence_model(config)
    except ConfigError as error:
        raise UsageError(error.message, error.hint) from None
    return config


def _train(config: RunnerConfig) -> None:
    from gematria_ops.training.train import train

    summary = train(config)
    logger.info("%s", summary.as_text())


def _predict(config: RunnerConfig) -> None:
    from gematria_ops.inference.predictor import predict_files

    summary = predict_files(config)
    logger.info("%s", summary.as_text())


if __name__ == "__main__":
    sys.exit(main())
