"""One worker of a data parallel training, for test_replicas.py: trains, then writes its own weights.

Arguments: the file of weights to write, then overrides of the settings. The cluster is in TF_CONFIG.
"""

import sys
from collections.abc import Sequence

import numpy as np

from gematria_ops.config import RunnerConfig
from gematria_ops.encode.loading import BlockLoader
from gematria_ops.models.threads import use_one_thread_per_operation
from gematria_ops.training.replicas import make_replicas
from gematria_ops.training.workload import ModelTraining
from ops_common.learning.fit import Plan, fit


def main(weights_file: str, overrides: Sequence[str]) -> None:
    config = RunnerConfig.from_toml(None, overrides)
    use_one_thread_per_operation()
    replicas = make_replicas(config)
    with BlockLoader(config) as blocks:
        training = ModelTraining(config, blocks.vocabulary, blocks.load, replicas)
    fit(training, Plan(config.num_steps), peers=replicas if replicas.num > 1 else None)
    values = {name.replace("/", "|"): variable.numpy() for name, variable in training.variables_by_name().items()}
    np.savez(weights_file, **values)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
