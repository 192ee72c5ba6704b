"""Codebooks: exact when they can be, bounded, stored, and served."""

import json
from pathlib import Path

import numpy as np
import pytest

from fastnode_ops.config import CodebookConfig, ExpressionConfig, ModelConfig
from fastnode_ops.models.codebook import Codebook, train_codebook
from fastnode_ops.models.compress import compress, graph_accuracies
from fastnode_ops.models.export import write_frozen_graph, write_saved_model
from fastnode_ops.models.expression import Expression
from fastnode_ops.models.inputs import Vocabulary
from fastnode_ops.models.serving import GRAPH_NAME, METAINFO_NAME, UNCOMPRESSED_NAME, ServingModel
from fastnode_ops.samples.batch import TrainingBatch
from ops_common.errors import ArtifactError, ConfigError, DataError, GateError
from tests.fastnode.batches import Sizes, make_batch
from tests.fastnode.models.test_export import METAINFO

SIZES = Sizes(num_types=600, num_subtokens=900, num_productions=700)


def made_of_few_vectors(rng: np.random.Generator) -> np.ndarray:
    """A table that four books of eight entries reproduce exactly."""
    vectors = rng.normal(size=(4, 8, 12)).astype(np.float32)
    codes = rng.integers(8, size=(500, 4))
    return sum(vectors[book, codes[:, book]] for book in range(4))


def test_a_row_is_the_sum_of_its_code_vectors() -> None:
    vectors = np.array([[1, 0], [2, 0], [0, 10], [0, 20]], np.float32)
    found = Codebook(vectors, np.array([[0, 1], [1, 0]], np.uint8))
    assert found.decode().tolist() == [[1, 20], [2, 10]]
    assert (found.num_books, found.num_entries, found.num_bytes) == (2, 2, 4 * 4 * 2 + 4)
    assert found.relative_error(found.decode()) == 0
    assert found.relative_error(2 * found.decode()) == pytest.approx(0.5)


def test_few_different_rows_are_exact() -> None:
    rng = np.random.default_rng(1)
    table = rng.normal(size=(8, 12)).astype(np.float32)[rng.integers(8, size=200)]
    assert train_codebook(table, 2, 8, max_rounds=5, seed=1).relative_error(table) < 1e-4


def test_rounds_lower_the_error_of_the_codes_that_are_shipped() -> None:
    table = made_of_few_vectors(np.random.default_rng(2))
    errors: list[tuple[int, float]] = []
    found = train_codebook(
        table, 4, 8, max_rounds=30, seed=1, report=lambda index, error: errors.append((index, error))
    )
    assert errors[0][0] == 0
    assert found.relative_error(table) == pytest.approx(min(error for _, error in errors))
    assert found.relative_error(table) < 0.9 * errors[0][1]


def test_the_same_seed_gives_the_same_codes() -> None:
    table = made_of_few_vectors(np.random.default_rng(2))
    one, two = (train_codebook(table, 4, 8, max_rounds=3, seed=5) for _ in range(2))
    assert np.array_equal(one.codes, two.codes)
    assert np.array_equal(one.codebooks, two.codebooks)


def test_sizes_that_cannot_be_are_refused() -> None:
    table = np.ones((10, 4), np.float32)
    with pytest.raises(ConfigError, match="5 codebooks for vectors of 4 values"):
        train_codebook(table, 5, 8, max_rounds=1, seed=1)
    with pytest.raises(ConfigError, match="257 entries per codebook"):
        train_codebook(table, 2, 257, max_rounds=1, seed=1)
    table[3, 1] = np.nan
    with pytest.raises(DataError, match="not finite"):
        train_codebook(table, 2, 8, max_rounds=1, seed=1)


def test_it_is_stored_and_read_back(tmp_path: Path) -> None:
    found = train_codebook(made_of_few_vectors(np.random.default_rng(2)), 4, 8, max_rounds=1, seed=1)
    found.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.codebook.npy", "model.codes.npy"]
    assert np.array_equal(Codebook.load(tmp_path).decode(), found.decode())
    np.save(tmp_path / "model.codes.npy", np.full((5, 4), 8, np.uint8))
    with pytest.raises(ArtifactError, match="is beyond its book"):
        Codebook.load(tmp_path)
    np.save(tmp_path / "model.codes.npy", np.zeros((5, 3), np.uint8))
    with pytest.raises(ArtifactError, match=r"have shapes \(32, 12\) and \(5, 3\)"):
        Codebook.load(tmp_path)
    (tmp_path / "model.codes.npy").write_bytes(b"\x93NUMPY torn")
    with pytest.raises(ArtifactError, match="cannot read the codebooks"):
        Codebook.load(tmp_path)


def config(**codebook: object) -> ExpressionConfig:
    books = {f"{kind}_{part}": 8 for kind in ("type", "subtoken", "production") for part in ("books", "entries")}
    return ExpressionConfig(
        model=ModelConfig(type_depth=16, subtoken_depth=16), codebook=CodebookConfig(**{**books, **codebook})
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model and its uncompressed graph; its tables are what books can stand for, and some noise."""
    folder = tmp_path_factory.mktemp("out")
    rng = np.random.default_rng(1)
    model = Expression(config().model, Vocabulary(SIZES.num_types, SIZES.num_subtokens, SIZES.num_productions), seed=1)
    weights = {name: variable.numpy() for name, variable in model.variables_by_name().items()}
    for name in ("embedding/types", "embedding/subtokens", "production_decoder/table"):
        num_rows, depth = weights[name].shape
        parts = np.array_split(np.arange(depth), 8)
        for columns in parts:
            centres = rng.normal(size=(8, len(columns)))
            weights[name][:, columns] = centres[rng.integers(8, size=num_rows)]
        weights[name] += rng.normal(scale=0.02, size=weights[name].shape).astype(np.float32)
    write_saved_model(folder / "saved_model", config().model, weights)
    write_frozen_graph(folder / UNCOMPRESSED_NAME, config().model, weights)
    METAINFO.write(folder / "serve" / METAINFO_NAME)
    return folder


@pytest.mark.tf
def test_the_compressed_graph_answers_nearly_as_the_whole_one(trained: Path, tmp_path: Path) -> None:
    batches = [make_batch(seed, SIZES) for seed in range(3)]
    graph = trained / "serve" / GRAPH_NAME
    report = compress(config(), trained / "saved_model", graph, tmp_path / "models", max_epochs=5, batches=batches)
    reports = report.tables
    assert [report.is_compressed for report in reports] == [True, True, True]
    assert [round(report.relative_error, 1) for report in reports] == [0.0, 0.0, 0.0]
    assert min(report.relative_error for report in reports) > 0
    assert reports[1].num_compressed_bytes == 4 * 8 * 8 * 16 + 900 * 8
    assert "embedding/subtokens (900 x 16): 57,600 bytes to 11,296, 5.1 times" in reports[1].as_text()
    assert json.loads(json.dumps(report.as_values()))["tables"]["embedding/subtokens"]["num_rows"] == 900
    before = graph_accuracies(trained / UNCOMPRESSED_NAME, batches)
    assert {name: one for name, (one, _) in report.accuracies.items()} == before
    assert {"name_accuracy", "production_accuracy_atk", "accuracy/call"} <= before.keys()
    assert max(abs(one - other) for one, other in report.accuracies.values()) < 0.2
    stored = sorted(path.name for path in (tmp_path / "models").iterdir())
    assert stored == ["embedding_subtokens", "embedding_types", "production_decoder_table", "tensorboard"]
    assert list((tmp_path / "models" / "tensorboard" / "embedding_types").glob("events*"))
    small, large = (ServingModel.load(trained / "serve", compressed=compressed) for compressed in (True, False))
    assert (trained / "serve" / GRAPH_NAME).stat().st_size < 0.8 * (trained / UNCOMPRESSED_NAME).stat().st_size
    for batch in batches:
        one, two = (probabilities(model, batch) for model in (small, large))
        assert np.abs(one - two).max() < 0.1
        assert not np.array_equal(one, two)


def probabilities(model: ServingModel, batch: TrainingBatch) -> np.ndarray:
    return np.concatenate(model.probabilities(batch))


@pytest.mark.tf
def test_stored_codebooks_give_the_same_graph(trained: Path, tmp_path: Path) -> None:
    def run(output: str, **options: object) -> bytes:
        compress(config(), trained / "saved_model", tmp_path / output, tmp_path / "models", **options)
        return (tmp_path / output).read_bytes()

    assert run("one.pb", max_epochs=2) == run("two.pb", train=False)
    Codebook(np.zeros((64, 16), np.float32), np.zeros((5, 8), np.uint8)).save(tmp_path / "models" / "embedding_types")
    with pytest.raises(ArtifactError, match=r"are of a table of shape \(5, 16\), not \(600, 16\)"):
        run("three.pb", train=False)


@pytest.mark.tf
def test_a_table_that_is_not_reproduced_well_enough_stops_the_release(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(GateError, match="embedding/types is reproduced with a relative error of"):
        compress(
            config(max_relative_error=0.001),
            trained / "saved_model",
            tmp_path / "g.pb",
            tmp_path / "models",
            max_epochs=1,
        )
    assert not (tmp_path / "g.pb").exists()


@pytest.mark.tf
def test_a_table_that_would_not_get_smaller_is_kept(trained: Path, tmp_path: Path) -> None:
    settings = config(type_books=16, type_entries=256)
    report = compress(settings, trained / "saved_model", tmp_path / "g.pb", tmp_path / "models", max_epochs=1)
    assert [table.is_compressed for table in report.tables] == [False, True, True]
    assert report.accuracies == {}
    assert report.tables[0].as_text().endswith("kept as it is: codebooks would be larger")
    assert report.tables[0].ratio == 1
    assert not (tmp_path / "models" / "embedding_types").exists()
