"""Trainings in pods of a real cluster, with the image that deployments use. `make test-kubernetes`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

pytestmark = [pytest.mark.kubernetes, pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(3600)]

from airflow.sdk.exceptions import AirflowException, AirflowFailException  # noqa: E402
from ops_platform.op_task import OpTask, op_task  # noqa: E402

from ops_common.processes import wait_until  # noqa: E402
from tests.fastnode.small_corpus import build_small_corpus  # noqa: E402
from tests.kubernetes.conftest import ROOT, RealCluster  # noqa: E402
from tests.plugins.pod_cluster import attempt, context  # noqa: E402

PATIENCE = 1200.0
TIMES = {"blocks_per_second", "seconds_to_first_step", "wall_seconds"}


@pytest.fixture
def log() -> Iterator[Callable[[], list[str]]]:
    with structlog.testing.capture_logs() as entries:
        yield lambda: [str(entry["event"]).rstrip() for entry in list(entries)]


@pytest.fixture
def dataset(deployment: Path) -> str:
    """A few blocks, imported."""
    from gematria_ops.tasks import build_vocabulary, import_bhive

    rows = (ROOT / "tests/data/bhive/sample_hsw.csv").read_text().splitlines(keepends=True)[:200]
    (deployment / "few.csv").write_text("".join(rows))
    folder = deployment / "data/few"
    import_bhive(
        csv_files=[str(deployment / "few.csv")], source_names=["llvm-mca: hsw"], dataset_dir=str(folder), num_workers=1
    )
    build_vocabulary(dataset_dir=str(folder))
    return str(folder)


def training(deployment: Path, dataset: str, run: str = "r", steps: int = 20, **options: Any) -> Any:
    from gematria_ops.tasks import train_model

    return op_task(
        train_model,
        run_dir=str(deployment / "runs" / run),
        dataset_dir=dataset,
        config_file=str(ROOT / "config/gematria/smoke.toml"),
        overrides=[f"num_steps={steps}"],
        **options,
    )


def test_a_training_in_a_pod_answers_as_a_local_one(
    real_cluster: RealCluster,
    deployment: Path,
    dataset: str,
    monkeypatch: pytest.MonkeyPatch,
    log: Callable[[], list[str]],
) -> None:
    found = training(deployment, dataset).execute(context())
    with monkeypatch.context() as patch:
        patch.setenv("OPS_MODE", "local")
        wanted = OpTask.execute.__wrapped__(training(deployment, dataset, "local"), {})  # type: ignore[attr-defined]
    assert found.keys() == wanted.keys()
    same = found.keys() - TIMES - {"bundle_dir", "final_loss"}
    assert {name: found[name] for name in same} == {name: wanted[name] for name in same}
    assert found["final_loss"] == pytest.approx(wanted["final_loss"], rel=1e-4)
    assert (Path(found["bundle_dir"]) / "manifest.json").is_file()
    trained, local = ({p.name for p in (deployment / f"runs/{run}").rglob("*")} for run in ("r", "local"))
    assert {name for name in trained ^ local if not name.startswith((".", "events."))} == {"config_file-smoke.toml"}
    assert any("stored a snapshot" in line for line in log())
    wait_until(lambda: not real_cluster.pods(), PATIENCE, "the end of the pod")


def test_wrong_input_is_not_retried_and_its_pod_is_kept_if_asked(
    real_cluster: RealCluster, deployment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS_POD_KEEP_FAILED", "yes")
    (deployment / "data/empty").mkdir(parents=True)
    with pytest.raises(AirflowFailException, match="ended with status 4"):
        training(deployment, str(deployment / "data/empty")).execute(context())
    (kept,) = real_cluster.pods()
    assert kept.metadata.labels["already_checked"] == "True"
    real_cluster.api.delete_namespaced_pod(kept.metadata.name, kept.metadata.namespace)
    wait_until(lambda: not real_cluster.pods(), PATIENCE, "the end of the pod")


def test_a_killed_training_saves_its_state_and_the_next_attempt_goes_on_from_it(
    real_cluster: RealCluster, deployment: Path, dataset: str, log: Callable[[], list[str]]
) -> None:
    outcomes = []
    for number, sign in ((1, "Training: epoch"), (2, "training goes on from")):
        killed = training(deployment, dataset, steps=100_000)
        with attempt(killed, try_number=number) as tried:
            wait_until(lambda sign=sign: any(line.startswith(sign) for line in log()), PATIENCE, sign)  # type: ignore[misc]
            killed.on_kill()
        outcomes += tried.outcome
        wait_until(lambda: not real_cluster.pods(), PATIENCE, "the end of the pod")
    assert [type(outcome) for outcome in outcomes] == [AirflowException] * 2
    assert list((deployment / "runs/r/checkpoints").glob("model.ckpt-*.index"))


def test_a_worker_that_comes_back_attaches_to_the_pod(
    real_cluster: RealCluster, deployment: Path, dataset: str, log: Callable[[], list[str]]
) -> None:
    class WorkerLostError(Exception):
        pass

    lost = training(deployment, dataset, steps=60)
    lost.await_pod_completion = _raise(WorkerLostError)  # where a worker is most of the time
    lost.post_complete_action = lambda **_values: None  # a process that was killed cleans nothing up
    with pytest.raises(WorkerLostError):
        lost.execute(context())
    (pod,) = real_cluster.pods()
    answer = training(deployment, dataset, steps=60).execute(context(try_number=2))
    assert answer["global_step"] == 60
    assert any(line.startswith(f"Reusing existing pod '{pod.metadata.name}'") for line in log())
    wait_until(lambda: not real_cluster.pods(), PATIENCE, "the end of the pod")


def test_samples_and_completion_models_are_made_in_pods(
    real_cluster: RealCluster, deployment: Path, log: Callable[[], list[str]]
) -> None:
    from fastnode_ops.datagen_tasks import generate_samples
    from fastnode_ops.tasks import build_metainfo, train_model

    corpus, run = str(build_small_corpus(deployment / "data")), deployment / "runs/completion"
    config = str(ROOT / "config/fastnode/smoke.toml")
    made = build_metainfo(work_dir=str(run), corpus_dir=corpus)
    common = {"run_dir": str(run), "corpus_dir": corpus, "config_file": config}
    samples = op_task(
        generate_samples,
        **common,
        metainfo_file=str(made["metainfo"]),
        out_dir=str(run / "samples"),
        data_steps=4,
        samples_per_file=2,
        num_workers=1,
    ).execute(context())
    assert len(list((run / "samples").glob("*.idx"))) == 2, samples
    trained = op_task(train_model, **common, work_dir=str(run), model_name="pods", steps=3).execute(context())
    assert (run / "out/expr_model.uncompressed.frozen.pb").is_file(), trained
    wait_until(lambda: not real_cluster.pods(), PATIENCE, "the end of the pods")


def _raise(kind: type[Exception]) -> Callable[..., None]:
    def action(*_arguments: Any, **_values: Any) -> None:
        raise kind

    return action
