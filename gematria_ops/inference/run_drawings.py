"""What the report of a run (`ops_common.run_report`) shows of the training and the evaluation of a throughput model."""

from __future__ import annotations

from pathlib import Path

from gematria_ops.inference import plots, wording
from gematria_ops.inference.evaluation_report import read_report_json
from gematria_ops.inference.report import JSON_NAME
from ops_common.run_drawings import Curves, Drawing
from ops_common.rundir import RunDir

CURVES = (
    Curves("Training loss", ("loss",), "loss of a batch", is_logarithmic=True),
    Curves("Error on the validation blocks", ("validation_mape_percent_*",), "mean absolute percentage error, %"),
)


def draw_evaluation(run_dir: Path) -> list[Drawing]:
    """Draws how the errors of each task are distributed; nothing for a run that was not evaluated.

    Args:
        run_dir: The run's folder.

    Raises:
        ArtifactError: The evaluation is damaged.
    """
    path = RunDir(run_dir).reports_dir / JSON_NAME
    if not path.is_file():
        return []
    return [
        Drawing(
            f"Errors of {task.name}: share of the blocks below",
            wording.describe_error_curve(task),
            plots.plot_error_curve(f"errors-{index}", task.error_curve),
            (
                ("model", "Model"),
                *((name, wording.baseline_title(name)) for name in task.error_curve.baselines_percent),
            ),
        )
        for index, task in enumerate(read_report_json(path).tasks)
        if task.error_curve is not None
    ]
