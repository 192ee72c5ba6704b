"""The forms of the DAGs: what their fields take, what they refuse, and what they say."""

import copy
from typing import Any

import pytest

pytestmark = pytest.mark.airflow


@pytest.mark.parametrize(
    ("dag_id", "name", "allowed", "refused"),
    [
        ("gematria_import", "csv_files", ["a.csv"], []),
        ("gematria_import", "source_names", ["bhive: hsw"], ["bhive", 1]),
        ("gematria_import", "dataset", "hsw-2026", "../x"),
        ("gematria_import", "throughput_scaling", 1, 0),
        ("gematria_import", "validation_percent", 20, 51),
        ("gematria_import", "max_rejected_share", 0.5, 1.5),
        ("gematria_import", "num_workers", 4, "many"),
        ("gematria_import", "train_conf", {"training_steps": 3}, [3]),
        ("gematria_import", "train_conf", None, "steps"),
        ("gematria_train", "dataset", "hsw-2026", 7),
        ("gematria_train", "config_file", "config/x.toml", ""),
        ("gematria_train", "training_steps", 100, 0),
        ("gematria_train", "training_steps", None, 1.5),
        ("gematria_train", "max_minutes", 0.5, -1),
        ("gematria_train", "learning_rate", 1e-4, "fast"),
        ("gematria_train", "block_embedding_size", 64, 33),
        ("gematria_train", "random_seed", -1, -2),
        ("gematria_train", "overrides", ["optimizer.decay_rate=0.5"], "optimizer.decay_rate=0.5"),
        ("gematria_train", "evaluation_split", "test", "train"),
        ("gematria_train", "max_mape_percent", 12.5, 0),
        ("gematria_train", "require_better_than_baselines", False, "no"),
        ("gematria_train", "destination", "s3://models/x", "/tmp/x"),
        ("gematria_train", "compare_with_released", False, "no"),
        ("gematria_train", "max_mape_increase_points", -1.5, 1001),
        ("gematria_train", "confidence", 0.9, 1),
        ("gematria_train", "num_resamples", 1000, 10),
        ("gematria_train", "comparison_seed", 7, -1),
        ("gematria_train", "require_approval", True, "yes"),
        ("gematria_train", "approval_hours", 48, 0),
        ("gematria_train", "release", False, 0),
        ("gematria_train", "pod", {"gpus": 1}, "one"),
        ("gematria_train", "pod", None, 1),
        ("gematria_predict", "input_file", "s3://inputs/x.csv", ""),
        ("gematria_predict", "model", None, 7),
        ("gematria_predict", "throughput_scaling", 1, 0),
        ("gematria_predict", "output_format", "tfrecord", "json"),
        ("gematria_predict", "destination", "s3://predictions/x", "/tmp/x"),
        ("gematria_predict", "num_workers", 4, 0),
        ("pythonexpr_import", "corpus", "autumn", "../x"),
        ("pythonexpr_import", "sources", ["stdlib", "/srv/code"], []),
        ("pythonexpr_import", "max_files", 250, -1),
        ("pythonexpr_import", "train_conf", {"steps": 10}, [10]),
        ("ops_clean_up", "dry_run", False, "no"),
        ("ops_clean_up", "run_days", 0.5, -1),
        ("ops_clean_up", "keep_newest", 1, 0),
        ("gematria_sweep", "space", {"optimizer.learning_rate": [0.01]}, ["optimizer.learning_rate"]),
        ("gematria_sweep", "search", "grid", "all"),
        ("gematria_sweep", "num_configurations", 8, 257),
        ("gematria_sweep", "eta", 2, 1),
        ("gematria_sweep", "train_conf", {"max_mape_percent": 5}, 5),
        ("pythonexpr_standalone", "steps", 10, 0),
        ("pythonexpr_standalone", "steps", 10, 1.5),
        ("pythonexpr_standalone", "model_name", "expr-2026", "../x"),
        ("pythonexpr_standalone", "sources", ["stdlib"], []),
        ("pythonexpr_standalone", "packages", ["numpy"], ["a b"]),
        ("pythonexpr_standalone", "batch", None, 0),
        ("pythonexpr_standalone", "attr_proportion", 0, -1),
        ("pythonexpr_standalone", "server", "http://localhost:3039", "localhost"),
        ("pythonexpr_standalone", "rundb", "s3://runs/db", "gs://runs"),
        ("pythonexpr_standalone", "destination", "/srv/%t", "srv"),
        ("pythonexpr_standalone", "max_recall_drop", 0.5, 2),
        ("pythonexpr_standalone", "require_approval", True, "yes"),
        ("pythonexpr_standalone", "approval_hours", 48, 0),
        ("pythonexpr_standalone", "confidence", 0.9, 0.4),
        ("pythonexpr_standalone", "release", False, "no"),
        ("release_rollback", "family", "pythonexpr", "kite"),
        ("release_rollback", "to", "s3://models/gematria/one", "yesterday"),
        ("release_rollback", "why", "too slow", "two\nlines"),
        ("release_rollback", "destination", "/srv/models", "models"),
        ("pythonexpr_continue", "pod", {"memory": "16Gi"}, ["16Gi"]),
        ("pythonexpr_distributed", "hosts", ["gen@host-a:2222"], "host-a"),
        ("pythonexpr_distributed", "remote_dir", "/data/gen", "data"),
        ("pythonexpr_distributed", "remote_dir", None, "/data/*"),
        ("pythonexpr_distributed", "samples_per_file", 500, 0),
        ("pythonexpr_distributed", "data_steps", None, 0),
        ("pythonexpr_distributed", "max_local_bytes", 20_000_000_000, 10),
        ("pythonexpr_distributed", "syncer_address", "10.0.0.1", "a b"),
        ("pythonexpr_continue", "run", None, ""),
        ("pythonexpr_continue", "steps", 5_000, -1),
    ],
)
def test_form_fields_take_what_they_should(
    dags: dict[str, Any], dag_id: str, name: str, allowed: Any, refused: Any
) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    field = copy.deepcopy(dags[dag_id].params.get_param(name))  # it keeps what it resolved
    assert field.resolve(allowed) == allowed
    with pytest.raises(ParamValidationError):
        field.resolve(refused)


def test_every_form_field_is_described_and_its_default_allowed(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        for name in dag.params:
            field = dag.params.get_param(name)
            assert field.description, name
            assert field.resolve() == field.value
