"""The report about all of a run; part of `tasks.py`.

report    the folder of a run, whatever became of it -> reports/run.html    (ops_common/run_report.py)
"""

from __future__ import annotations

from pathlib import Path

Result = dict[str, str | int | float | bool]


def report(*, run_dir: str) -> Result:
    """Write one page about all of a run: curves, figures, the gate, durations, cost, everything to repeat it.

    Args:
        run_dir: Folder of the run, which is the pipeline's folder where `make` trains; it may have failed, or still
            go on.
    """
    from fastnode_ops.pipeline_dir import PipelineDir
    from fastnode_ops.validation.run_drawings import CURVES, draw_validation
    from ops_common.run_report import write_run_report

    page = write_run_report(
        Path(run_dir),
        metrics=lambda folder: PipelineDir(folder).metrics,
        curves=CURVES,
        draw=draw_validation,
        reports="out/reports",
    )
    return {"run_report": str(page)}
