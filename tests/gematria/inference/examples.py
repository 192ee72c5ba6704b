"""A small evaluation whose figures can be worked out by hand."""

import numpy as np

from gematria_ops.inference.evaluation import EvaluationSettings, HeldOutBlocks, evaluate
from gematria_ops.inference.evaluation_report import (
    CurvePoint,
    CurveSeries,
    DatasetDescription,
    EvaluationReport,
    ModelDescription,
    Provenance,
)

NUM_BLOCKS = 60


def held_out_blocks(num_blocks: int = NUM_BLOCKS, num_tasks: int = 2) -> HeldOutBlocks:
    """Blocks of 1 to 30 instructions; the label is (task + 1) / 2 cycles an instruction; every tenth lacks task 0."""
    num_instructions = 1 + np.arange(num_blocks) % 30
    labels = num_instructions[:, None] * (1 + np.arange(num_tasks))[None, :] / 2.0
    mask = np.ones((num_blocks, num_tasks), dtype=bool)
    mask[::10, 0] = False
    labels[::10, 0] = -1.0
    return HeldOutBlocks(
        labels=labels,
        mask=mask,
        num_instructions=num_instructions,
        fingerprints=[f"{index:064x}" for index in range(num_blocks)],
        machine_codes=["90" * int(length) for length in num_instructions],
        assembly=lambda index: ["nop"] * int(num_instructions[index]),
        seen_in_training=np.arange(num_blocks) % 3 == 0,
    )


def make_report(
    factor: float = 1.1,
    task_names: tuple[str, ...] = ("hsw", "skl"),
    baseline_factors: dict[str, float] | None = None,
    predictions: np.ndarray | None = None,
    model_name: str = "ithemal test",
    **changes: object,
) -> EvaluationReport:
    """Makes the report of a model that predicts `factor` times the label."""
    blocks = held_out_blocks(num_tasks=len(task_names))
    factors = {"median": 2.0, "linear": 1.5} if baseline_factors is None else baseline_factors
    report = evaluate(
        blocks.labels * factor if predictions is None else predictions,
        blocks,
        task_names,
        baselines={name: blocks.labels * value for name, value in factors.items()},
        dataset=DatasetDescription(
            name="test data",
            split="validation",
            num_blocks=NUM_BLOCKS,
            num_training_blocks=500,
            sha256="ab" * 32,
            label_note="Labels are made up.",
        ),
        model=ModelDescription(name=model_name, global_step=1000, num_parameters=12345, sha256="cd" * 32),
        provenance=Provenance(
            evaluated_at="2025-01-01T00:00:00Z",
            seed=-1,
            num_resamples=0,
            digests={"tokens.txt": "ef" * 32},
            versions={"numpy": "2"},
            config={"training": {"seed": 3}},
        ),
        sources=[f"test: {name}" for name in task_names],
        learning_curves=[
            CurveSeries(
                id="loss",
                title="mean over tasks",
                unit="",
                is_validation=False,
                points=(CurvePoint(step=1, value=0.5), CurvePoint(step=100, value=0.1)),
            )
        ],
        settings=EvaluationSettings(seed=4, num_resamples=50, num_worst_blocks=5),
    )
    return report.model_copy(update=changes)
