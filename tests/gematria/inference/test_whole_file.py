"""The one-shot evaluation: every block of the file, figures worked out by hand, and what is asked for before."""

from pathlib import Path

import numpy as np
import pytest

from gematria_ops.config import RunnerConfig
from gematria_ops.inference.predictor import Predictor
from gematria_ops.inference.whole_file import evaluate_whole_file, task_figures
from gematria_ops.training.train import train
from ops_common.errors import ArtifactError
from tests.gematria.small_blocks import write_data

pytestmark = pytest.mark.tf

SMALL = (
    "model.kind=graph",
    "model.node_embedding_size=4",
    "model.edge_embedding_size=4",
    "model.global_embedding_size=4",
    "model.num_message_passing_iterations=1",
    "model.readout_layers=4",
    "batch.max_blocks=10",
    "summary.save_steps=0",
    'input.source_filters=["test: one", "test: two"]',
)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunnerConfig:
    """Return the settings of a training that has done 2 steps."""
    folder = tmp_path_factory.mktemp("model")
    data, tokens = write_data(folder, 30)
    files = (f"input.files={data}", f"tokens.file={tokens}", f"checkpoint.directory={folder / 'model'}")
    found = RunnerConfig.from_toml(None, [*SMALL, *files, "num_steps=2", "checkpoint.save_steps=1"])
    train(found)
    return found


def with_checkpoint(config: RunnerConfig, **values: str) -> RunnerConfig:
    return config.model_copy(update={"checkpoint": config.checkpoint.model_copy(update=values)})


def test_figures_by_hand() -> None:
    predictions = np.array([1.0, 2.0, 4.0, 8.0, 5.0, np.nan, 7.0])
    labels = np.array([2.0, 2.0, 5.0, 4.0, 0.0, 1.0, -1.0])
    mask = np.array([True, True, True, True, True, True, False])
    task = task_figures("first", predictions, labels, mask, (50, 90))
    assert task.num_judged == 5
    assert task.num_left_out == {
        "without a label": 1,
        "without a finite prediction": 1,
        "without a relative error (their label is not positive)": 1,
    }
    # Relative errors 50, 0, 20, 100 percent; absolute errors 1, 0, 1, 4, 5.
    figures = task.figures
    assert figures["MAPE, percent"] == pytest.approx(42.5)
    assert figures["MSE, squared cycles"] == pytest.approx((1 + 0 + 1 + 16 + 25) / 5)
    assert (figures["absolute error 50%, cycles"], figures["absolute error 90%, cycles"]) == (1.0, 5.0)
    # Rank 50 of four values is number round(1.5) = 2, counted from 0.
    assert (figures["relative error 50%, percent"], figures["relative error 90%, percent"]) == (50.0, 100.0)
    # Of ten pairs one is tied, five agree, four do not: (5 - 4) / sqrt(10 * 9).
    assert figures["Kendall"] == pytest.approx(1 / np.sqrt(90))
    assert figures["Spearman"] == pytest.approx(np.corrcoef([1, 2, 3, 5, 4], [2.5, 2.5, 5, 4, 1])[0, 1])
    assert figures["Pearson"] == pytest.approx(np.corrcoef(predictions[:5], labels[:5])[0, 1])


def test_a_task_without_a_judged_block_has_no_figures() -> None:
    task = task_figures("first", np.array([1.0]), np.array([-1.0]), np.array([False]), (50,))
    assert (task.num_judged, set(task.figures.values())) == (0, {None})


def test_all_blocks_are_judged_by_the_newest_checkpoint(config: RunnerConfig) -> None:
    found = evaluate_whole_file(config)
    assert (found.checkpoint.name, found.global_step, found.num_blocks) == ("model.ckpt-2", 2, 30)
    assert [(task.name, task.num_judged, dict(task.num_left_out)) for task in found.tasks] == [
        ("task_1", 30, {}),
        ("task_2", 10, {"without a label": 20}),
    ]
    from gematria_ops.encode.loading import load_encoded_blocks

    predictor = Predictor.from_checkpoint(with_checkpoint(config, file=str(found.checkpoint)))
    encoded = load_encoded_blocks(config, config.input.files, predictor.vocabulary)
    output = predictor.predict_encoded(encoded).output
    errors = np.abs(output[:, 0] - encoded.labels[:, 0]) / encoded.labels[:, 0]
    assert found.tasks[0].figures["MAPE, percent"] == pytest.approx(100 * errors.mean(), rel=1e-5)
    text = found.as_text()
    assert "model.ckpt-2, global step 2: 30 blocks" in text
    assert "task task_2: 10 blocks judged, 20 without a label" in text
    assert text.count("MAPE, percent") == text.count("Kendall") == 2


def test_a_named_checkpoint_goes_before_the_newest(config: RunnerConfig) -> None:
    older = str(Path(config.checkpoint.directory) / "model.ckpt-1")
    assert evaluate_whole_file(with_checkpoint(config, file=older)).global_step == 1


def test_no_checkpoint_yet_is_an_error(config: RunnerConfig, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"there is no checkpoint in .*none yet"):
        evaluate_whole_file(with_checkpoint(config, directory=str(tmp_path / "none")))
