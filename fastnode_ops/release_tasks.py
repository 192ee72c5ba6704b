"""The steps around a release; part of `tasks.py`.

check_release     figures + released model     -> release.json, and pass or an error   (publish/gate.py)
release_model     a model that was uploaded    -> the released one                     (ops_common/run_releases.py)
roll_back_model   an earlier model             -> the released one, pinned again       (publish/rolling_back.py)
releases          the history of a destination -> a table                              (ops_common/release_table.py)
"""

from __future__ import annotations

import logging
from pathlib import Path

LOG = logging.getLogger(__name__)

Result = dict[str, str | int | float | bool]


def check_release(
    *,
    work_dir: str,
    run_dir: str = "",
    destination: str = "",
    checkout_dir: str = "",
    corpus_dir: str = "",
    packages_file: str = "",
    max_recall_drop: float = 0.05,
    min_margin_over_popularity: float = 0.0,
    min_situations: int = 50,
    min_answered_share: float = 0.2,
    confidence: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Result:
    """Hold the validation against the limits and the released model; fail with every number that did not pass.

    What was found stands in release.json of the run, whether it passed or not.

    Args:
        work_dir: The pipeline's folder, validated.
        run_dir: Folder of the run, for release.json; empty: work_dir.
        destination: Where models are published, for the one that is released there; empty: the pinned one counts.
        checkout_dir: The product's checkout, for the model that is pinned there; empty: compare with none.
        corpus_dir: Folder of the corpus, to validate the released model again when it was validated on something else;
            empty: that is an error then.
        packages_file: The packages that the model is for, one a line; empty: those it has learnt.
        max_recall_drop: Most that recall and reciprocal rank may lie below the released model's, at the lower end of
            the interval, 0 to 1; 1: do not compare.
        min_margin_over_popularity: Least that top-1 recall must lie above that of popularity, -1 to 1.
        min_situations: Fewest situations that a verdict may stand on.
        min_answered_share: Smallest share of the situations that the model answers, 0 to 1.
        confidence: Share of the resampled differences that an interval holds, 0.5 to 1.
        num_resamples: Resamples of the paired bootstrap.
        seed: Seed of the bootstrap.
    """
    from fastnode_ops.publish.gate import pass_gate, registry_of, result_of_gate, validate_with
    from fastnode_ops.publish.packages import packages_of
    from fastnode_ops.validation.release import ReleaseLimits

    limits = ReleaseLimits(
        min_margin_over_pop=min_margin_over_popularity,
        min_margin_over_pinned=-max_recall_drop,
        min_situations=min_situations,
        min_answered_share=min_answered_share,
        confidence=confidence,
        num_resamples=num_resamples,
        seed=seed,
    )
    verdict, record = pass_gate(
        Path(work_dir),
        registry_of(checkout_dir),
        packages_of(Path(work_dir), packages_file),
        limits,
        destination=destination,
        run_dir=Path(run_dir or work_dir),
        validate=validate_with(Path(corpus_dir)) if corpus_dir else None,
    )
    return result_of_gate(verdict, record)


def release_model(*, work_dir: str, destination: str, run_dir: str = "", model_uri: str = "") -> Result:
    """Make an uploaded model the released one of its destination.

    Args:
        work_dir: The pipeline's folder, which passed its release check, and whose model is uploaded.
        destination: Where models are published, as upload-model was told.
        run_dir: Folder of the run, with release.json; empty: work_dir.
        model_uri: The upload, as upload-model reports it; empty: the last one of work_dir.
    """
    from fastnode_ops.publish.upload import last_upload
    from ops_common.run_releases import release_run

    uri = model_uri or last_upload(Path(work_dir))
    done = release_run(Path(run_dir or work_dir), _absolute(destination), uri)
    return {"model_uri": done.model_uri, "replaced": done.replaced, "entry": done.entry, "at": done.at}


def roll_back_model(
    *,
    destination: str,
    to: str = "previous",
    why: str = "",
    by: str = "",
    request: str = "",
    checkout_dir: str = "",
    runs_dirs: list[str] | None = None,
) -> Result:
    """Make an earlier model the released one again, after every file of it was read, and pin it in the product.

    Args:
        destination: Where models are published.
        to: "previous", or the URI of a model that was released there before (see `releases`).
        why: What was wrong, for the history.
        by: Who wants it; empty: the user of this machine.
        request: Name of this roll back; done again under the same name it changes nothing. Empty: a new one.
        checkout_dir: The product's checkout, where the model is pinned; empty: nowhere. Rebuild its datadeps then.
        runs_dirs: Folders of runs, where release.json of the run that is rolled back shall say so.
    """
    from fastnode_ops.publish.rolling_back import repin
    from ops_common.run_releases import roll_back_runs

    done = roll_back_runs(
        _absolute(destination),
        "pythonexpr",
        to=to,
        why=why,
        by=by,
        request=request,
        runs_dirs=[Path(name) for name in runs_dirs or ()],
    )
    num_changed = repin(Path(checkout_dir), done) if checkout_dir else 0
    return {
        "model_uri": done.model_uri,
        "rolled_back": done.replaced,
        "entry": done.entry,
        "at": done.at,
        "num_changed_files": num_changed,
    }


def releases(*, destination: str) -> Result:
    """List what was released and rolled back at a destination, newest first.

    Args:
        destination: Where models are published.
    """
    from ops_common.release_table import show_releases

    return show_releases(_absolute(destination))


def _absolute(destination: str) -> str:
    """A folder as an absolute path, as the upload names it; a place in S3 as it is."""
    return destination if "://" in destination else str(Path(destination).absolute())
