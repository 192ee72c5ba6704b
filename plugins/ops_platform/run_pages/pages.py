"""The pages about runs, each a method from the parameters of its address to HTML."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastnode_ops.pipeline_dir import PipelineDir
from ops_common.run_facts import FAMILIES, RunFacts, read_run
from ops_platform.run_pages import comparing, lineage, listing, trend
from ops_platform.run_pages.airflow_runs import DAGS, AskAirflow
from ops_platform.run_pages.listing import Row, Wanted
from ops_platform.run_pages.run_index import RunIndex
from ops_platform.run_pages.templating import render

RAW_FILES = ("record.json", "release.json", "run.json", "config.toml", "metrics.jsonl", "FAILED")
"""Files of a run folder that are shown as they are."""

_UPLOADED = ("model_uri", "bundle_uri", "serve_uri", "manifest_uri", "report_uri")
_SHOWN_PROBLEMS = 20


class NoSuchPage(Exception):
    """What was asked for is not there; the message says so to a person."""


@dataclass(frozen=True, slots=True)
class Visit:
    """Who asks, and from where.

    Attributes:
        root: Path under which our pages stand on the server, without a slash at its end.
        dag_ids: The workflows whose runs the person may see.
    """

    root: str
    dag_ids: frozenset[str]


class RunPages:
    """The pages over the runs below a folder.

    Args:
        ask_airflow: Gives Airflow's runs.
        runs_root: Run folders are `<runs_root>/<dag id>/<run>`.
        tensorboard_url: Where TensorBoard answers; empty: nowhere, its command is shown.
    """

    def __init__(self, ask_airflow: AskAirflow, runs_root: Path, tensorboard_url: str = "") -> None:
        self._root, self._ask_airflow, self._tensorboard_url = Path(runs_root), ask_airflow, tensorboard_url
        self._index = RunIndex(runs_root, DAGS)

    def runs(self, visit: Visit, wanted: Wanted) -> str:
        """The list of runs."""
        chosen = listing.choose(self._rows(visit.dag_ids), wanted)
        return self._render(
            visit,
            "runs",
            wanted=wanted,
            given={name: value for name, value in asdict(wanted).items() if value != getattr(Wanted(), name)},
            listing=chosen,
            families=FAMILIES,
            states=listing.STATES,
            decisions=listing.DECISIONS,
        )

    def run(self, visit: Visit, dag_id: str, name: str) -> str:
        """Everything of one run."""
        row, facts = self._one(visit, dag_id, name)
        folder = listing.folder_of(self._root, row)
        uploads = [
            (task, key, str(result[key]))
            for task, result in facts.results.items()
            for key in _UPLOADED
            if key in result
        ]
        return self._render(
            visit,
            "run",
            row=row,
            facts=facts,
            problems=facts.problems[:_SHOWN_PROBLEMS],
            data_digest=lineage.digest_of(facts),
            reports=_reports(folder, Path(facts.work_dir)),
            raw_files=[file for file in RAW_FILES if (folder / file).is_file()],
            uploads=uploads,
            folder=folder,
            summaries=_summaries(folder, Path(facts.work_dir)),
            tensorboard_url=self._tensorboard(row),
            airflow_run=quote(row.run_id, safe=""),
            longest_seconds=max((task.wall_seconds or 0.0 for task in facts.tasks.values()), default=0.0),
            has_examples=PipelineDir(Path(facts.work_dir)).curated_examples.exists(),
        )

    def trend(self, visit: Visit, family: str, span: int) -> str:
        """The figures of a family over the nights."""
        family, rows = self._of_family(visit, family)
        span = min(trend.SPANS, key=lambda known: abs(known - span))
        drawings = trend.trends(rows, listing.key_figures(rows), span)
        return self._render(
            visit, "trend", family=family, families=FAMILIES, span=span, spans=trend.SPANS, trends=drawings, size=trend
        )

    def compare(self, visit: Visit, keys: Sequence[str]) -> str:
        """Two runs side by side."""
        rows = self._rows(visit.dag_ids)
        if len(keys) != 2:
            text = "Two runs can be compared: choose exactly two in the list of runs."
            raise NoSuchPage(f"{text} This address names {len(keys)}.")
        first, second = (self._named(rows, key) for key in keys)
        facts = [read_run(listing.folder_of(self._root, row)) for row in (first, second)]
        return self._render(
            visit,
            "compare",
            rows=(first, second),
            facts=facts,
            figures=comparing.figure_pairs(*facts),
            parts=comparing.parts(*facts),
            problems=[(row, problem) for row, one in zip((first, second), facts) for problem in one.problems],
        )

    def lineage(self, visit: Visit, family: str, page: int) -> str:
        """From data sets to released models."""
        family, rows = self._of_family(visit, family)
        found = lineage.datasets(rows)
        num_pages = max(1, -(-len(found) // lineage.DATASETS_PER_PAGE))
        page = min(max(1, page), num_pages)
        start = (page - 1) * lineage.DATASETS_PER_PAGE
        return self._render(
            visit,
            "lineage",
            family=family,
            families=FAMILIES,
            released=lineage.released_now(rows),
            datasets=found[start : start + lineage.DATASETS_PER_PAGE],
            num_datasets=len(found),
            page=page,
            num_pages=num_pages,
        )

    def raw_file(self, visit: Visit, dag_id: str, name: str, file: str) -> Path:
        """A file of a run that is shown as it is.

        Raises:
            NoSuchPage: It is none of those, or the run has none.
        """
        row = self._find(visit, dag_id, name)
        path = listing.folder_of(self._root, row) / file
        if file not in RAW_FILES or not path.is_file():
            raise NoSuchPage(f"this run has no file {file!r} that is shown here")
        return path

    def problem(self, visit: Visit, text: str) -> str:
        """A page that says why there is none."""
        return self._render(visit, "problem", text=text)

    def _render(self, visit: Visit, template: str, **values: Any) -> str:
        return render(template, visit.root, page_name=template, **values)

    def _rows(self, dag_ids: Collection[str]) -> list[Row]:
        indexed = [run for run in self._index.runs() if run.dag_id in dag_ids]
        return listing.join(indexed, self._ask_airflow(dag_ids))

    def _of_family(self, visit: Visit, family: str) -> tuple[str, list[Row]]:
        rows = self._rows(visit.dag_ids)
        if family not in FAMILIES:  # whichever has runs, so that nobody is met by an empty page
            family = next((known for known in FAMILIES if any(row.family == known for row in rows)), FAMILIES[0])
        return family, [row for row in rows if row.family == family]

    def _one(self, visit: Visit, dag_id: str, name: str) -> tuple[Row, RunFacts]:
        row = self._find(visit, dag_id, name)
        return row, read_run(listing.folder_of(self._root, row))

    def _find(self, visit: Visit, dag_id: str, name: str) -> Row:
        return self._named(self._rows(visit.dag_ids & {dag_id}), f"{dag_id}/{name}")

    @staticmethod
    def _named(rows: Sequence[Row], key: str) -> Row:
        dag_id, _, name = key.partition("/")
        row = listing.find_row(rows, dag_id, name)
        if row is None:
            raise NoSuchPage(f"There is no run {key!r}, or you may not see it.")
        return row

    def _tensorboard(self, row: Row) -> str:
        if not self._tensorboard_url:
            return ""
        return f"{self._tensorboard_url.rstrip('/')}/?regexInput={quote(row.name, safe='')}#timeseries"


def _reports(folder: Path, work_dir: Path) -> list[str]:
    """Names of the pages that people read, the one about the whole run first."""
    places = (folder / "reports", PipelineDir(work_dir).reports)
    names = {path.name for place in places if place.is_dir() for path in place.glob("*.html")}
    return sorted(names, key=lambda name: (name != "run.html", name))


def _summaries(folder: Path, work_dir: Path) -> Path | None:
    """The folder of TensorBoard's event files."""
    places = (folder / "summaries", work_dir / "tensorboard")
    return next((place for place in places if place.is_dir()), None)
