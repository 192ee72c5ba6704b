"""All settings of the Gematria models: one frozen ``RunnerConfig`` with sections, filled by TOML files or by flags."""

from gematria_ops.config.choices import (
    Action,
    ErrorNormalization,
    LearningRateScheduleType,
    LossType,
    OptimizerType,
    ThroughputSelection,
)
from gematria_ops.config.runner import RunnerConfig
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
    "BatchConfig",
    "CheckpointConfig",
    "DistributedConfig",
    "ErrorNormalization",
    "InputConfig",
    "LearningRateScheduleType",
    "LossConfig",
    "LossType",
    "ModelConfig",
    "OptimizerConfig",
    "OptimizerType",
    "OutputConfig",
    "RunnerConfig",
    "SummaryConfig",
    "ThroughputSelection",
    "TokensConfig",
    "ValidationConfig",
]
