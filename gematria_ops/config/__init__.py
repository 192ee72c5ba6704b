"""All settings of the Gematria models: one frozen ``RunnerConfig`` with sections, filled by TOML files or by flags."""

from gematria_ops.config.choices import (
    Action,
    ErrorNormalization,
    LearningRateScheduleType,
    LossType,
    MatmulPrecision,
    OptimizerType,
    RnnType,
    ThroughputSelection,
)
from gematria_ops.config.graph_sections import GraniteConfig
from gematria_ops.config.runner import AnyModelConfig, GraniteRunnerConfig, RunnerConfig, runner_config
from gematria_ops.config.sections import (
    BatchConfig,
    CheckpointConfig,
    DistributedConfig,
    InputConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    OutputConfig,
    SummaryConfig,
    TokensConfig,
    ValidationConfig,
)

__all__ = [
    "Action",
    "AnyModelConfig",
    "BatchConfig",
    "CheckpointConfig",
    "DistributedConfig",
    "ErrorNormalization",
    "GraniteConfig",
    "GraniteRunnerConfig",
    "InputConfig",
    "LearningRateScheduleType",
    "LossConfig",
    "LossType",
    "MatmulPrecision",
    "ModelConfig",
    "OptimizerConfig",
    "OptimizerType",
    "OutputConfig",
    "RnnType",
    "RunnerConfig",
    "SummaryConfig",
    "ThroughputSelection",
    "TokensConfig",
    "ValidationConfig",
    "runner_config",
]
