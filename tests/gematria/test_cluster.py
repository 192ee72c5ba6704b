"""TF_CONFIG and the flags of several workers: what is understood, what is refused, and what contradicts."""

import json

import pytest

from gematria_ops.config import RunnerConfig
from gematria_ops.config.cluster import Cluster, read_cluster
from gematria_ops.config.readiness import check_runner
from ops_common.errors import ConfigError

READY = ("tokens.file=t", "input.files=i", "checkpoint.directory=c")
TWO = ("distributed.num_replicas=2", "distributed.num_replicas_to_aggregate=2")


def tf_config(num_workers: int, rank: object, kind: str = "worker") -> str:
    addresses = [f"host{number}:2222" for number in range(num_workers)]
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": kind, "index": rank}})


def test_a_cluster_is_read() -> None:
    assert read_cluster({"TF_CONFIG": tf_config(2, 1)}) == Cluster(("host0:2222", "host1:2222"), 1)
    assert read_cluster({}) is None
    assert read_cluster({"TF_CONFIG": ""}) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "TF_CONFIG is not JSON"),
        ("[]", "TF_CONFIG has no 'cluster'"),
        ('{"cluster": {"worker": ["a:1"]}}', "TF_CONFIG has no 'task'"),
        ('{"cluster": {"worker": []}, "task": {}}', "TF_CONFIG names no workers"),
        ('{"cluster": {"worker": [1]}, "task": {}}', "TF_CONFIG names no workers"),
        ('{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {}}', "TF_CONFIG names tasks of type 'ps'"),
        (tf_config(2, 2), "does not say which of the 2 workers"),
        (tf_config(2, "1"), "does not say which of the 2 workers"),
        (tf_config(2, 0, "chief"), "does not say which of the 2 workers"),
    ],
)
def test_what_describes_no_cluster_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_cluster({"TF_CONFIG": text})


@pytest.mark.parametrize(
    ("overrides", "cluster", "message"),
    [
        (TWO, None, r"\(--gematria_num_training_worker_replicas\) is 2, and TF_CONFIG describes no workers"),
        (TWO, tf_config(3, 0), r"\(--gematria_num_training_worker_replicas\) is 2, and TF_CONFIG describes 3 workers"),
        ((), tf_config(2, 0), r"\(--gematria_num_training_worker_replicas\) is 1, and TF_CONFIG describes 2 workers"),
        (TWO, tf_config(2, 1), r"\(--gematria_training_task\) is 0, and TF_CONFIG says that this is worker 1"),
        (
            ("distributed.task_index=1",),
            None,
            r"\(--gematria_training_task\) is 1, and TF_CONFIG says that this is worker 0",
        ),
        (TWO[:1], tf_config(2, 0), r"\(--gematria_num_training_worker_replicas_to_aggregate\) cannot be 1"),
        (TWO[1:], None, r"\(--gematria_num_training_worker_replicas_to_aggregate\) cannot be 2"),
        ((*TWO, "distributed.synchronous=false"), tf_config(2, 0), r"\(--gematria_synchronous_training\) cannot be"),
        ((*TWO, "random_seed=-1"), tf_config(2, 0), r"\(--gematria_random_seed\) cannot be -1"),
        (("distributed.ps_tasks=1",), None, r"\(--gematria_training_ps_tasks\) cannot be 1"),
        (("distributed.master=grpc://x",), None, r"\(--master\) cannot be grpc://x"),
    ],
)
def test_flags_that_contradict(
    overrides: tuple[str, ...], cluster: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", cluster or "")
    with pytest.raises(ConfigError, match=message):
        check_runner(RunnerConfig.from_toml(None, [*READY, *overrides]))


def test_flags_that_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", tf_config(2, 1))
    check_runner(RunnerConfig.from_toml(None, [*READY, *TWO, "distributed.task_index=1"]))
