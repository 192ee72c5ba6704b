"""The report about all of a run; part of `tasks.py`.

report    the folder of a run, whatever became of it -> reports/run.html    (ops_common/run_report.py)
"""

from __future__ import annotations

from pathlib import Path

Result = dict[str, str | int | float | bool]


def report(*, run_dir: str) -> Result:
    """Write one page about all of a run: curves, figures, the gate, durations, cost, everything to repeat it.

    Args:
        run_dir: Folder of the run; it may have failed, or still go on.
    """
    from gematria_ops.inference.run_drawings import CURVES, draw_evaluation
    from ops_common.run_report import write_run_report
    from ops_common.rundir import RunDir

    page = write_run_report(
        Path(run_dir),
        metrics=lambda folder: RunDir(folder).metrics_path,
        curves=CURVES,
        draw=draw_evaluation,
        reports="reports",
    )
    return {"run_report": str(page)}
