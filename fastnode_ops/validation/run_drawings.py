"""What the report of a run (`ops_common.run_report`) shows of the training and validation of a completion model."""

from __future__ import annotations

from pathlib import Path

from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.validation import drawing
from fastnode_ops.validation.attribute_report import read_report_json
from fastnode_ops.validation.report import JSON_NAME
from ops_common.drawing import series_role
from ops_common.run_drawings import Curves, Drawing

CURVES = (Curves("Loss", ("loss", "validation_loss"), "loss", is_logarithmic=True),)


def draw_validation(work_dir: Path) -> list[Drawing]:
    """Draws recall and calibration of every provider; nothing for a model that was not validated.

    Args:
        work_dir: The pipeline's folder.

    Raises:
        ArtifactError: The validation is damaged.
        DataError: It is of another version.
    """
    path = PipelineDir(work_dir).reports / JSON_NAME
    if not path.is_file():
        return []
    report = read_report_json(path)
    legend = tuple((series_role(index), name) for index, name in enumerate(report.providers))
    drawings = [
        Drawing(
            "Answer among the first completions",
            f"Share of {report.num_situations:,d} places whose answer is among the first 1, 3, 5 and 10, by provider.",
            drawing.draw_recall({name: one.common for name, one in report.providers.items()}),
            legend,
        )
    ]
    calibrated = {
        name: (index, one.calibration)
        for index, (name, one) in enumerate(report.providers.items())
        if one.calibration is not None and one.calibration.num_answers
    }
    if calibrated:
        alt = "How often a first completion of some probability is right, by provider; right is the diagonal."
        shown = tuple((series_role(index), name) for name, (index, _) in calibrated.items())
        drawings.append(Drawing("Calibration", alt, drawing.draw_calibration(calibrated), shown))
    return drawings
