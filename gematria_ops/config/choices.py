"""The enumerations of the settings. Names and numbers are those of the public Gematria runner."""

from __future__ import annotations

from ops_common.config import NamedEnum


class Action(NamedEnum):
    """What the runner does."""

    TRAIN = "train"
    EVAL = "eval"
    PREDICT = "predict"
    EXPORT_GRAPH_DEF = "export_graph_def"


class ThroughputSelection(NamedEnum):
    """Which of a block's throughput samples is its label."""

    RANDOM = 0
    FIRST = 1
    MEAN = 2
    MIN = 3


class LossType(NamedEnum):
    """How an error becomes a loss."""

    MEAN_SQUARED_ERROR = 1
    MEAN_ABSOLUTE_ERROR = 2
    HUBER = 3


class ErrorNormalization(NamedEnum):
    """By what an error is divided before it becomes a loss."""

    NONE = 1
    PERCENTAGE_ERROR = 2
    EXPECTED_VALUE_GREATER_THAN_ONE = 3


class OptimizerType(NamedEnum):
    """The optimisers, with TensorFlow 1 defaults."""

    ADAM = 1
    SGD = 2
    RMSPROP = 3


class LearningRateScheduleType(NamedEnum):
    """How the learning rate depends on the global step."""

    NONE = 1
    COSINE = 2
    EXPONENTIAL = 3
    INVERSE_TIME = 4
    LINEAR_COSINE = 5
    NATURAL_EXP = 6
    NOISY_LINEAR_COSINE = 7
    POLYNOMIAL = 8
    COSINE_RESTARTS = 9


class RnnType(NamedEnum):
    """The recurrent network behind a graph network."""

    NONE = 0
    LSTM = 1
    GRU = 2


class MatmulPrecision(NamedEnum):
    """In what precision the large matrix products of a training are computed."""

    FLOAT32 = 1
    BFLOAT16 = 2
