"""Folders as the workflows leave them, of any age, and what a clean-up says of them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ops_common.clean_up import clean_up
from ops_common.rundir import RunDir

NOW = time.time()
DAY = 86_400.0


class Place:
    """Two roots and what stands in them."""

    def __init__(self, folder: Path) -> None:
        self.runs, self.data, self.reports = folder / "ops/runs", folder / "ops/data", folder / "reports"
        self.runs.mkdir(parents=True)
        self.data.mkdir()

    def run(self, name: str, days: float, *, state: str = "done", uses: dict[str, Path] | None = None) -> Path:
        """A run of gematria_train that ended some days ago, with a checkpoint of 1,000 bytes."""
        workflow, _, run_name = name.rpartition("/")
        folder = self.runs / (workflow or "gematria_train") / run_name
        run = RunDir(folder)
        plan = {key: str(path) for key, path in (uses or {}).items()}
        run.save_result("resolve_request", {}, plan)
        run.checkpoints_dir.mkdir()
        (run.checkpoints_dir / "model.ckpt-30").write_bytes(b"x" * 1_000)
        if state == "done":
            run.mark_done()
        elif state == "failed":
            run.mark_failed("no luck")
        self.age(folder, days)
        return folder

    def dataset(self, name: str, days: float, *, is_complete: bool = True) -> Path:
        folder = self.data / name
        folder.mkdir(parents=True)
        (folder / "train.tfrecord").write_bytes(b"x" * 5_000)
        if is_complete:
            (folder / "manifest.json").write_text("{}")
        self.age(folder, days)
        return folder

    def age(self, folder: Path, days: float) -> None:
        for path in [*folder.rglob("*"), folder]:
            if not path.is_symlink():
                os.utime(path, (NOW, NOW - days * DAY))

    def clean(self, *, dry_run: bool = False, **more: Any) -> dict[str, Any]:
        clean_up(
            runs_root=str(self.runs),
            data_root=str(self.data),
            report_dir=str(self.reports),
            dry_run=dry_run,
            **{"keep_newest": 1, **more},
        )
        report: dict[str, Any] = json.loads((self.reports / "clean_up.json").read_bytes())
        return report


def gone(report: dict[str, Any]) -> set[tuple[str, str]]:
    return {(item["kind"], item["name"]) for item in report["removed"]}


def reason_of(report: dict[str, Any], name: str, kind: str = "run") -> str:
    return next(str(item["reason"]) for item in report["kept"] if (item["kind"], item["name"]) == (kind, name))
