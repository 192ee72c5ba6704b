"""What the two runners share: flags to settings, checks before anything heavy is loaded, then the action.

Exit codes: 0 done, 2 wrong flags, 3 settings, 4 data, 130 and 143 after SIGINT and SIGTERM, with a checkpoint written.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from absl import flags
from absl import logging as absl_logging

from gematria_ops.config import Action, RunnerConfig
from gematria_ops.config.program import run_program
from gematria_ops.config.readiness import check_runner
from gematria_ops.flags import config_from_flags, define_flags
from ops_common.errors import ConfigError, UsageError

logger = logging.getLogger(__name__)


def run_model_program(name: str, config_class: type[RunnerConfig], argv: Sequence[str] | None = None) -> int:
    """Run a model's program with command-line arguments (the program's name first) and return the exit code.

    Args:
        name: What messages begin with.
        config_class: The settings, with their flags, of the model's kind.
        argv: By default those of the process.
    """

    def define() -> None:
        define_flags(flags.FLAGS, config_class)
        flags.FLAGS.set_default("verbosity", absl_logging.INFO)

    return run_program(name, define, lambda: _run(config_class), argv)


def _run(config_class: type[RunnerConfig]) -> None:
    absl_logging.use_absl_handler()
    config = config_from_flags(flags.FLAGS, config_class)
    try:
        check_runner(config)
    except ConfigError as error:
        raise UsageError(error.message, error.hint) from None
    _quieten_tensorflow()
    if config.action is Action.PREDICT:
        _predict(config)
    elif config.action is Action.EXPORT_GRAPH_DEF:
        _export(config)
    elif config.action is Action.EVAL:
        _evaluate(config)
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


def _evaluate(config: RunnerConfig) -> None:
    if config.summary.eval_whole_file:
        from gematria_ops.inference.whole_file import evaluate_whole_file

        print(evaluate_whole_file(config).as_text())
        return
    from gematria_ops.encode.loading import BlockLoader, evaluation_settings

    with BlockLoader(evaluation_settings(config)) as blocks:
        from gematria_ops.training.evaluation_loop import evaluate_continuously

        logger.info("%s", evaluate_continuously(config, blocks=blocks).as_text())


def _predict(config: RunnerConfig) -> None:
    from gematria_ops.inference.predictor import predict_files

    logger.info("%s", predict_files(config).as_text())


def _export(config: RunnerConfig) -> None:
    from gematria_ops.inference.exporting import export_graph_def

    logger.info("%s", export_graph_def(config))
