"""Two models on the same blocks, with figures that can be worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from gematria_ops.inference.comparison import changed_blocks, compare_tasks
from gematria_ops.inference.comparison_report import Difference
from gematria_ops.inference.pairing import PairedBlocks, pair_blocks
from gematria_ops.inference.predictions_file import BlockPredictions
from gematria_ops.inference.slicing import Cut
from ops_common.errors import ConfigError, DataError


def evaluation(
    predictions: list[list[float]],
    labels: list[list[float]],
    fingerprints: str = "abcdefgh",
    task_names: tuple[str, ...] = ("hsw",),
    cuts: tuple[Cut, ...] = (),
    sources: tuple[str, ...] = (),
) -> BlockPredictions:
    """An evaluation of len(predictions) blocks; a label of -1 is none."""
    values = np.array(labels, dtype=np.float64)
    names = list(fingerprints[: len(predictions)])
    return BlockPredictions(
        np.array(predictions, dtype=np.float64), values, values != -1, names, task_names, sources=sources, cuts=cuts
    )


# Errors of the first model: 10, 20, 50, 0 percent; of the second: 20, 10, 10, 0 percent.
LABELS = [[1.0], [2.0], [4.0], [5.0]]
FIRST = evaluation([[1.1], [2.4], [6.0], [5.0]], LABELS)
SECOND = evaluation([[1.2], [2.2], [3.6], [5.0]], LABELS)


def test_figures_of_a_task() -> None:
    (task,) = compare_tasks(pair_blocks(FIRST, SECOND), seed=1, num_resamples=500)
    assert task.first.mape_percent == pytest.approx(20)
    assert task.second.mape_percent == pytest.approx(10)
    assert task.first.median_percent == pytest.approx(20)  # index 1.5 goes to the even 2 of 0, 10, 20, 50
    assert task.first.mae_cycles_per_iteration == pytest.approx((0.1 + 0.4 + 2 + 0) / 4)
    assert task.first.spearman == pytest.approx(0.8)  # ranks 1 2 4 3
    assert task.first.kendall_tau == pytest.approx(4 / 6)
    assert task.second.spearman == pytest.approx(1)
    difference = task.difference
    assert difference is not None
    assert difference.mape_points == pytest.approx(-10)
    assert (difference.better_share, difference.worse_share, difference.equal_share) == (0.5, 0.25, 0.25)
    assert difference.low is not None and difference.high is not None
    # The mean of four draws from +10, -10, -40, 0.
    assert -40 <= difference.low < -10 < difference.high <= 10
    assert difference.outcome == "unclear"


def test_swapped_models_give_the_opposite() -> None:
    (task,) = compare_tasks(pair_blocks(SECOND, FIRST), seed=1, num_resamples=500)
    (other,) = compare_tasks(pair_blocks(FIRST, SECOND), seed=1, num_resamples=500)
    assert task.difference is not None and other.difference is not None
    assert task.difference.mape_points == pytest.approx(-other.difference.mape_points)
    assert task.difference.low == pytest.approx(-(other.difference.high or 0), abs=1e-9)
    assert task.difference.better_share == other.difference.worse_share


def test_the_interval_is_paired_and_reproducible() -> None:
    """Errors that vary much between blocks, but by the same two points between the models on each."""
    rng = np.random.default_rng(0)
    labels = rng.uniform(1, 10, size=(200, 1))
    errors = rng.uniform(0, 2, size=(200, 1))
    first = BlockPredictions(labels * (1 + errors), labels, labels > 0, [str(index) for index in range(200)], ("hsw",))
    second = replace(first, predictions=labels * (1.02 + errors))
    blocks = pair_blocks(first, second)
    (task,) = compare_tasks(blocks, seed=5, num_resamples=200)
    difference = task.difference
    assert difference is not None and difference.low is not None and difference.high is not None
    # An interval of unpaired means would be some 20 points wide.
    assert difference.low == pytest.approx(2) and difference.high == pytest.approx(2)
    assert difference.outcome == "worse"
    assert compare_tasks(blocks, seed=5, num_resamples=200) == (task,)


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [(-2, -1, "better"), (1, 2, "worse"), (-1, 1, "unclear"), (-1, 0, "unclear"), (None, None, "unclear")],
)
def test_outcome(low: float | None, high: float | None, outcome: str) -> None:
    found = Difference(
        num_blocks=1,
        first_mape_percent=1,
        second_mape_percent=1,
        mape_points=0,
        low=low,
        high=high,
        better_share=0,
        worse_share=0,
        equal_share=1,
    )
    assert found.outcome == outcome


def test_blocks_and_tasks_are_matched_whatever_their_order() -> None:
    first = evaluation([[1, 10], [2, 20], [3, 30]], [[1, 1], [2, 2], [3, 3]], "abc", ("hsw", "skl"))
    second = evaluation([[40, 4], [30, 3], [20, 2]], [[4, 4], [3, 3], [2, 2]], "dcb", ("skl", "hsw"))
    blocks = pair_blocks(first, second)
    assert blocks.fingerprints == ["b", "c"]
    assert blocks.first.tolist() == [[2, 20], [3, 30]]
    assert blocks.second.tolist() == [[2, 20], [3, 30]]
    assert (blocks.num_alone, blocks.num_repeated) == ((1, 1), (0, 0))


def test_a_repeated_block_counts_once() -> None:
    blocks = pair_blocks(evaluation([[1.0], [2.0], [9.0]], [[1], [2], [1]], "aba"), evaluation([[3.0]], [[1]], "a"))
    assert (blocks.fingerprints, blocks.first.tolist()) == (["a"], [[1.0]])
    assert (blocks.num_repeated, blocks.num_alone) == ((1, 0), (1, 0))


def test_what_cannot_be_compared_is_counted_and_left_out_of_both() -> None:
    nan = np.nan
    labels = [[-1.0], [0.0], [1.0], [1.0], [1.0], [2.0]]
    first = evaluation([[1], [1], [nan], [1], [nan], [3]], labels)
    second = evaluation([[1], [1], [1], [nan], [nan], [2]], labels)
    (task,) = compare_tasks(pair_blocks(first, second), seed=0, num_resamples=10)
    counts = task.counts
    assert (counts.num_compared, counts.num_without_label, counts.num_unusable_label) == (1, 1, 1)
    assert counts.num_unpredicted_by_first == counts.num_unpredicted_by_second == counts.num_unpredicted_by_both == 1
    assert (task.first.mape_percent, task.second.mape_percent) == (50, 0)
    assert task.difference is not None and task.difference.low is None


def test_no_block_to_compare() -> None:
    nothing = evaluation([[np.nan]], [[1.0]])
    (task,) = compare_tasks(pair_blocks(nothing, evaluation([[1.0]], [[1.0]])), seed=0, num_resamples=10)
    assert (task.difference, task.first.mape_percent) == (None, None)
    assert all(not group.parts for group in task.groups)


def test_other_tasks_are_refused_by_name() -> None:
    first = evaluation([[1, 1]], [[1, 1]], task_names=("hsw", "skl"))
    second = evaluation([[1, 1]], [[1, 1]], task_names=("ivb", "skl"))
    with pytest.raises(ConfigError, match="different tasks: only the first has 'hsw'; only the second has 'ivb'"):
        pair_blocks(first, second)
    with pytest.raises(ConfigError, match="different tasks: only the first has 'skl'"):
        pair_blocks(first, evaluation([[1]], [[1]]))


def test_other_sources_are_refused_by_name() -> None:
    first, second = (evaluation([[1]], [[1]], sources=(source,)) for source in ("bhive: hsw", "llvm-mca: hsw"))
    with pytest.raises(ConfigError, match=r"task 'hsw' has labels of 'bhive: hsw' in the first .* of 'llvm-mca: hsw'"):
        pair_blocks(first, second)
    assert pair_blocks(first, replace(second, sources=())).sources == ("bhive: hsw",)


def test_other_labels_are_refused_with_an_example() -> None:
    first = evaluation([[1, 1]] * 3, [[1, 1], [2, 2], [3, 3]], task_names=("hsw", "skl"))
    second = evaluation([[1, 1]] * 3, [[1, 1], [2, 2.5], [3, -1]], task_names=("hsw", "skl"))
    expected = "labels of task 'skl' differ for 2 of 3 common blocks: block b has 2 cycles in the first .* 2.5 cycles"
    with pytest.raises(ConfigError, match=expected):
        pair_blocks(first, second)
    missing = evaluation([[1, 1]] * 3, [[1, 1], [2, 2], [3, -1]], task_names=("hsw", "skl"))
    with pytest.raises(ConfigError, match="block c has 3 cycles in the first evaluation, none in the second"):
        pair_blocks(first, missing)


def test_evaluations_of_other_blocks_are_refused() -> None:
    with pytest.raises(DataError, match="no block in common"):
        pair_blocks(evaluation([[1]], [[1]], "a"), evaluation([[1]], [[1]], "b"))


def cut_of(members: list[list[bool]], cut_id: str = "kind", names: tuple[str, ...] = ("SSE", "AVX")) -> Cut:
    return Cut(cut_id, f"By {cut_id}", "Kinds.", names, np.array(members), is_overlapping=True)


def test_parts_are_compared_on_their_own_blocks() -> None:
    cut = cut_of([[True, False], [True, False], [True, True], [False, False]])
    (task,) = compare_tasks(pair_blocks(replace(FIRST, cuts=(cut,)), SECOND), seed=1, num_resamples=50)
    kinds, labels = task.groups
    assert [(part.name, part.difference.num_blocks) for part in kinds.parts] == [("SSE", 3), ("AVX", 1)]
    sse, avx = (part.difference for part in kinds.parts)
    assert sse.mape_points == pytest.approx((10 - 10 - 40) / 3)
    assert (avx.mape_points, avx.low) == (pytest.approx(-40), None)
    assert kinds.is_overlapping
    assert [part.name for part in labels.parts] == ["1 to 2", "2 to 5", "5 to 10"]


def test_cuts_that_differ_are_left_out_by_name_and_those_of_either_are_kept() -> None:
    first = replace(FIRST, cuts=(cut_of([[True, False]] * 4), cut_of([[True, False]] * 4, "other")))
    second = replace(SECOND, cuts=(cut_of([[False, True]] * 4), cut_of([[True, False]] * 4, "third")))
    blocks = pair_blocks(first, second)
    assert [cut.id for cut in blocks.cuts] == ["other", "third"]
    assert blocks.cuts_left_out == {"By kind": "the two evaluations cut the blocks differently"}


def paired(first: list[list[float]], second: list[list[float]], **changes: object) -> PairedBlocks:
    labels = [[1.0] * len(first[0])] * len(first)
    names = ("hsw", "skl")[: len(first[0])]
    both = [evaluation(values, labels, task_names=names) for values in (first, second)]
    return replace(pair_blocks(both[0], both[1]), **changes)  # type: ignore[arg-type]


def test_changed_blocks_go_by_the_largest_change_in_any_task() -> None:
    blocks = paired([[1.0, 2.0], [1.5, 1.0], [1.0, 1.0], [1.1, 1.0]], [[1.0, 1.0], [1.0, 1.7], [1.0, 1.0], [1.0, 1.0]])
    improved, worsened = changed_blocks(blocks, 20)
    assert [block.fingerprint for block in improved] == ["a", "b", "d"]
    assert [block.fingerprint for block in worsened] == ["b"]
    assert [block.fingerprint for block in changed_blocks(blocks, 1)[0]] == ["a"]
    hsw, skl = improved[0].values
    assert (hsw.first_error_percent, hsw.second_error_percent) == (0, 0)
    assert (skl.task, skl.label, skl.first, skl.second) == ("skl", 1, 2, 1)
    assert (skl.first_error_percent, skl.second_error_percent) == (100, 0)


def test_changed_blocks_show_a_token_sequence_once_and_their_assembly() -> None:
    first, second = [[2.0], [3.0], [4.0]], [[1.0], [1.0], [1.0]]
    codes = ["90", "4889d8", "ff"]
    improved, _ = changed_blocks(paired(first, second, token_sequence_ids=[1, 1, 2], machine_codes=codes), 20)
    assert [block.fingerprint for block in improved] == ["c", "b"]
    assert improved[1].assembly == ("movq\t%rbx, %rax",)
    assert (improved[0].machine_code, improved[0].assembly) == ("ff", ())  # not decodable: the bytes are shown


def test_a_block_without_prediction_did_not_change() -> None:
    improved, worsened = changed_blocks(paired([[np.nan], [1.0]], [[1.0], [1.0]]), 20)
    assert improved == worsened == ()
