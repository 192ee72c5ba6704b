"""docs/flags.md is what the code says, and holds every flag of every program."""

from pathlib import Path

import pytest

from gematria_ops.config import GraniteRunnerConfig, RunnerConfig
from gematria_ops.flags_table import as_markdown
from ops_common.config import walk_settings

PATH = Path(__file__).parents[2] / "docs" / "flags.md"


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return as_markdown().splitlines()


def test_the_file_is_up_to_date() -> None:
    assert PATH.read_text(encoding="utf-8") == as_markdown(), "run python -m gematria_ops.flags_table > docs/flags.md"


def test_every_flag_has_a_row(lines: list[str]) -> None:
    names = {
        item.flag.name for config in (RunnerConfig, GraniteRunnerConfig) for item in walk_settings(config) if item.flag
    }
    rows = [line.split("`")[1] for line in lines if line.startswith("| `")]
    assert names | {"gematria_input_csv", "gematria_input_tfrecord"} <= set(rows)
    # Only what both programs have with another meaning stands twice.
    assert [name for name in set(rows) if rows.count(name) > 1] == ["gematria_seq2seq"]


@pytest.mark.parametrize(
    "row",
    [
        "| `gematria_max_blocks_in_batch` | int | none | Blocks in a batch; unset or 0: the whole data set. |  |  |",
        "| `gematria_loss_type` | enum: MEAN_SQUARED_ERROR, MEAN_ABSOLUTE_ERROR, HUBER | `MEAN_SQUARED_ERROR` | "
        "How the normalised error becomes the loss. |  |  |",
        "| `gematria_eval_max_evaluations` | int | `0` | End the eval action after N evaluations; 0: never. | yes |  |",
        "| `gematria_input_tfrecord` | multi | required | TFRecord file of basic blocks; may be given several times. "
        "|  |  |",
        "| `gematria_rnn_bidirectional` | bool | false | The recurrent network reads in both directions. |  | "
        "warning: no effect without model.rnn_type (--gematria_rnn_type) |",
    ],
)
def test_rows(row: str, lines: list[str]) -> None:
    assert row in lines


def test_every_row_has_six_cells(lines: list[str]) -> None:
    rows = [line.replace("\\|", "") for line in lines if line.startswith("|")]
    assert {row.count("|") for row in rows} == {7}
