"""Checkpoints: readable by TensorFlow, whole or not there, refused by name when they are another model's."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ops_common.errors import ArtifactError, ConfigError
from ops_common.learning import checkpoints
from ops_common.learning.checkpoints import (
    CheckpointStore,
    latest_checkpoint,
    read_global_step,
    restore_checkpoint,
    restore_matching,
    step_of,
)

pytestmark = pytest.mark.tf

IDENTITY = {"model": {"size": 2, "layers": (3, 4)}, "tasks": ["a"]}


def make_variables(value: float = 1.0, step: int = 0) -> dict[str, tf.Variable]:
    return {
        "layer/kernel": tf.Variable(np.full((2, 3), value, np.float32)),
        "layer/kernel/Adam": tf.Variable(np.full((2, 3), value / 2, np.float32)),
        "global_step": tf.Variable(step, dtype=tf.int64),
    }


def save(folder: Path, step: int, value: float = 1.0, max_to_keep: int = 100) -> Path:
    return CheckpointStore(folder, IDENTITY, max_to_keep).save(make_variables(value, step), step)


def first_value(prefix: Path) -> float:
    return float(tf.train.load_checkpoint(str(prefix)).get_tensor("layer/kernel")[0, 0])


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_tensorflow_lists_our_names_and_the_step(tmp_path: Path) -> None:
    prefix = save(tmp_path, 1200)
    assert prefix.name == "model.ckpt-1200"
    reader = tf.train.load_checkpoint(str(tmp_path))  # through the state file
    assert reader.get_variable_to_shape_map() == {
        "layer/kernel": [2, 3],
        "layer/kernel/Adam": [2, 3],
        "global_step": [],
    }
    assert reader.get_variable_to_dtype_map()["global_step"] == tf.int64
    assert reader.get_tensor("global_step") == 1200
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(prefix)
    assert read_global_step(prefix) == 1200
    assert step_of(prefix) == 1200


def test_the_state_file_lists_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("here"), 1)
    save(Path("here"), 2)
    state = tf.train.get_checkpoint_state(str(tmp_path / "here"))
    assert state.model_checkpoint_path == str(tmp_path / "here/model.ckpt-2")
    assert list(state.all_model_checkpoint_paths) == [str(tmp_path / f"here/model.ckpt-{step}") for step in (1, 2)]


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    prefix = save(tmp_path, 7, value=3.0)
    variables = make_variables(0.0)
    CheckpointStore(tmp_path, IDENTITY).restore(prefix, variables)
    assert variables["layer/kernel"].numpy().tolist() == [[3.0] * 3] * 2
    assert variables["layer/kernel/Adam"].numpy().tolist() == [[1.5] * 3] * 2
    assert int(variables["global_step"]) == 7


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        save(tmp_path, step, max_to_keep=2)
    kept = [f"model.ckpt-{step}{suffix}" for step in (3, 4) for suffix in checkpoints.SUFFIXES]
    assert files(tmp_path) == sorted(["checkpoint", *kept])
    assert len(tf.train.get_checkpoint_state(str(tmp_path)).all_model_checkpoint_paths) == 2


def test_zero_keeps_all(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step, max_to_keep=0)
    assert len(list(tmp_path.glob("*.index"))) == 3


def test_files_of_others_are_not_removed(tmp_path: Path) -> None:
    checkpoints.write_variables(tmp_path / "model.ckpt-1", make_variables())
    (tmp_path / "notes.txt").write_text("mine")
    for step in (2, 3):
        save(tmp_path, step, max_to_keep=1)
    assert {"model.ckpt-1.index", "notes.txt"} <= set(files(tmp_path))
    assert "model.ckpt-2.index" not in files(tmp_path)


def test_an_empty_or_missing_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "none") is None


# What can be wrong with the files of the newest checkpoint after a crash of the machine or a bad copy.
DAMAGES: dict[str, Callable[[Path], None]] = {
    "data missing": lambda prefix: Path(f"{prefix}.data-00000-of-00001").unlink(),
    "index missing": lambda prefix: Path(f"{prefix}.index").unlink(),
    "data cut": lambda prefix: os.truncate(f"{prefix}.data-00000-of-00001", 10),
    "data empty": lambda prefix: os.truncate(f"{prefix}.data-00000-of-00001", 0),
    "index cut": lambda prefix: os.truncate(f"{prefix}.index", 10),
    "record cut": lambda prefix: os.truncate(f"{prefix}.json", 10),
    "data flipped": lambda prefix: flip_byte(Path(f"{prefix}.data-00000-of-00001")),
    "everything missing": lambda prefix: [path.unlink() for path in prefix.parent.glob(f"{prefix.name}.*")] and None,
}


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_torn_newest_checkpoint_is_passed_over(damage: str, tmp_path: Path) -> None:
    save(tmp_path, 1, value=1.0)
    DAMAGES[damage](save(tmp_path, 2, value=2.0))
    newest = latest_checkpoint(tmp_path)
    assert newest == tmp_path / "model.ckpt-1"
    assert first_value(newest) == 1.0


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "everything missing"])
def test_torn_checkpoints_only_are_not_taken_for_none(damage: str, tmp_path: Path) -> None:
    DAMAGES[damage](save(tmp_path, 2))
    with pytest.raises(ArtifactError, match=r"no checkpoint in .* is whole: .*model\.ckpt-2"):
        latest_checkpoint(tmp_path)


def test_a_checkpoint_of_another_program_is_found_when_it_is_whole(tmp_path: Path) -> None:
    checkpoints.write_variables(tmp_path / "model.ckpt-5", make_variables(step=5))
    assert latest_checkpoint(tmp_path) == tmp_path / "model.ckpt-5"
    os.truncate(tmp_path / "model.ckpt-5.data-00000-of-00001", 10)
    with pytest.raises(ArtifactError, match=r"model\.ckpt-5 cannot be read"):
        latest_checkpoint(tmp_path)


@pytest.mark.parametrize("state", ["", "garbage\x00{", 'model_checkpoint_path: "model.ckpt-9"\n'])
def test_a_bad_state_file_does_not_hide_the_checkpoints(state: str, tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    (tmp_path / "checkpoint").write_text(state)
    assert latest_checkpoint(tmp_path) == tmp_path / "model.ckpt-2"


def test_the_state_file_decides_which_one_is_newest(tmp_path: Path) -> None:
    save(tmp_path, 9, value=9.0)
    save(tmp_path, 3, value=3.0)  # somebody began again from an older state
    assert latest_checkpoint(tmp_path) == tmp_path / "model.ckpt-3"


def test_a_moved_folder_is_read_where_it_is(tmp_path: Path) -> None:
    save(tmp_path / "old", 1, value=1.0)
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    save(tmp_path / "old", 1, value=5.0)
    newest = latest_checkpoint(tmp_path / "new")
    assert newest == tmp_path / "new/model.ckpt-1"
    assert first_value(newest) == 1.0


def test_saving_the_same_step_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 1, value=1.0)
    save(tmp_path, 1, value=2.0)
    assert first_value(tmp_path / "model.ckpt-1") == 2.0
    assert checkpoints.find_damage(tmp_path / "model.ckpt-1") == ""


def refusal(prefix: Path, variables: dict[str, tf.Variable], identity: dict[str, object] = IDENTITY) -> str:
    before = {name: variable.numpy() for name, variable in variables.items()}
    with pytest.raises(ConfigError) as caught:
        restore_checkpoint(prefix, variables, identity)
    assert all((variable.numpy() == before[name]).all() for name, variable in variables.items())
    return caught.value.message


@pytest.mark.parametrize(
    ("identity", "difference"),
    [
        ({**IDENTITY, "model": {"size": 4, "layers": (3, 4)}}, "model.size was 2, now 4"),
        ({**IDENTITY, "model": {"size": 2, "layers": (3,)}}, "model.layers was [3, 4], now [3]"),
        ({**IDENTITY, "vocabulary": "x"}, "vocabulary was not given, now 'x'"),
    ],
)
def test_another_identity_is_refused_by_its_first_difference(
    identity: dict[str, object], difference: str, tmp_path: Path
) -> None:
    message = refusal(save(tmp_path, 1), make_variables(), identity)
    assert message == f"checkpoint {tmp_path / 'model.ckpt-1'} belongs to another model: {difference}"


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"layer/bias": tf.Variable([1.0])}, "it has no variable 'layer/bias'"),
        ({"layer/kernel": None}, "it has a variable 'layer/kernel', which this model has not"),
        (
            {"layer/kernel": tf.Variable(np.zeros((3, 2), np.float32))},
            "variable 'layer/kernel' has shape [2, 3] in it, [3, 2] here",
        ),
        ({"layer/kernel": tf.Variable(np.zeros((2, 3)))}, "variable 'layer/kernel' is float32 in it, float64 here"),
    ],
)
def test_other_variables_are_refused_by_name(
    changed: dict[str, tf.Variable | None], difference: str, tmp_path: Path
) -> None:
    variables = {name: value for name, value in {**make_variables(), **changed}.items() if value is not None}
    assert refusal(save(tmp_path, 1), variables).endswith(f"belongs to another model: {difference}")


def test_weights_alone_may_be_restored_beside_the_optimisers_state(tmp_path: Path) -> None:
    prefix = save(tmp_path, 1, value=4.0)
    weights = {"layer/kernel": tf.Variable(np.zeros((2, 3), np.float32))}
    restore_checkpoint(prefix, weights, {"model": IDENTITY["model"]}, weights_only=True)
    assert weights["layer/kernel"].numpy()[0, 0] == 4.0
    assert "it has a variable 'global_step'" in refusal(prefix, weights)


def test_weights_alone_do_not_excuse_another_layer(tmp_path: Path) -> None:
    variables = {**make_variables(), "other/kernel": tf.Variable([1.0])}
    checkpoints.write_variables(tmp_path / "model.ckpt-1", variables)
    with pytest.raises(ConfigError, match="it has a variable 'other/kernel', which this model has not"):
        restore_checkpoint(
            tmp_path / "model.ckpt-1", {"layer/kernel": variables["layer/kernel"]}, IDENTITY, weights_only=True
        )


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"No checkpoint was found at .*model\.ckpt-1"):
        restore_checkpoint(tmp_path / "model.ckpt-1", make_variables(), IDENTITY)


def test_a_torn_checkpoint_changes_nothing(tmp_path: Path) -> None:
    prefix = save(tmp_path, 1, value=5.0)
    os.truncate(f"{prefix}.data-00000-of-00001", 40)
    variables = make_variables(0.0)
    with pytest.raises(ArtifactError, match=r"model\.ckpt-1 is torn"):
        restore_checkpoint(prefix, variables, IDENTITY)
    assert not variables["layer/kernel"].numpy().any()


def test_partial_restore_takes_what_fits_and_says_what_not(tmp_path: Path) -> None:
    # Of four variables one has another type and one another shape (specification 6.8).
    stored = {name: tf.Variable([1.0, 2.0]) for name in ("a", "b", "c", "d")}
    checkpoints.write_variables(tmp_path / "model.ckpt-1", stored)
    fresh = {
        "a": tf.Variable([0.0, 0.0]),
        "b": tf.Variable([0, 0]),
        "c": tf.Variable([0.0, 0.0, 0.0]),
        "d": tf.Variable([0.0, 0.0]),
        "e": tf.Variable([0.0]),
    }
    restored = restore_matching(tmp_path / "model.ckpt-1", fresh)
    assert restored.loaded == ("a", "d")
    assert restored.skipped == {
        "b": "variable 'b' is float32 in it, int32 here",
        "c": "variable 'c' has shape [2] in it, [3] here",
        "e": "it has no variable 'e'",
    }
    assert [variable.numpy().tolist() for variable in fresh.values()] == [[1, 2], [0, 0], [0, 0, 0], [1, 2], [0]]


# What a child process does: the parent has loaded TensorFlow, but has not used it, so that it may fork.
CHILDREN = """
import os, resource, sys
from pathlib import Path
import numpy as np
import tensorflow as tf
from ops_common.errors import ArtifactError
from ops_common.learning.checkpoints import CheckpointStore

def save_on_a_full_disk(folder, limit):
    store = CheckpointStore(folder, {})
    store.save({"v": tf.Variable(np.ones(50_000, np.float32))}, 1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        store.save({"v": tf.Variable(np.zeros(50_000, np.float32))}, 2)
    except ArtifactError as error:
        Path(f"{folder}.error").write_bytes(str(error).encode()[:limit])

def save_and_be_killed(folder, kill_at):
    store = CheckpointStore(folder, {}, max_to_keep=1)
    store.save({"v": tf.Variable(1.0)}, 1)
    num_calls = 0

    def watch(event, arguments):
        # Before every call that makes, renames or removes something: each is a moment to be killed at.
        nonlocal num_calls
        makes = event == "open" and isinstance(arguments[1], str) and arguments[1].startswith("w")
        if makes or event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            num_calls += 1
            if num_calls == kill_at:
                os.kill(os.getpid(), 9)

    sys.addaudithook(watch)
    store.save({"v": tf.Variable(2.0)}, 2)

what, root = globals()[sys.argv[1]], Path(sys.argv[2])
for number in map(int, sys.argv[3:]):
    child = os.fork()
    if child == 0:
        what(root / str(number), number)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def run_children(what: str, root: Path, numbers: list[int]) -> list[int]:
    command = [sys.executable, "-c", CHILDREN, what, str(root), *map(str, numbers)]
    return [int(line) for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()]


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    limits = [150, 1000, 100_000]
    assert run_children("save_on_a_full_disk", tmp_path, limits) == [0, 0, 0]
    for limit in limits:
        folder = tmp_path / str(limit)
        message = (tmp_path / f"{limit}.error").read_text()
        assert f"checkpoint {folder / 'model.ckpt-2'} cannot be written"[:limit] in message
        assert files(folder) == sorted(["checkpoint", *(f"model.ckpt-1{suffix}" for suffix in checkpoints.SUFFIXES)])
        assert latest_checkpoint(folder) == folder / "model.ckpt-1"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"file/model\.ckpt-1 cannot be written"):
        save(tmp_path / "file", 1)


@pytest.mark.slow
def test_killed_at_any_moment_there_is_a_whole_checkpoint(tmp_path: Path) -> None:
    moments = list(range(1, 31))
    exit_codes = run_children("save_and_be_killed", tmp_path, moments)
    num_killed = exit_codes.count(-9)
    assert exit_codes == [-9] * num_killed + [0] * (len(moments) - num_killed)
    assert num_killed > 8  # one at least for each file that is written, renamed or removed
    values = []
    for moment in moments:
        folder = tmp_path / str(moment)
        newest = latest_checkpoint(folder)
        assert newest is not None
        values.append(float(tf.train.load_checkpoint(str(newest)).get_tensor("v")))
        assert values[-1] == step_of(newest)
        # Whatever is left behind is not in the way of the next one.
        CheckpointStore(folder, {}, max_to_keep=1).save({"v": tf.Variable(3.0)}, 3)
        assert files(folder) == sorted(["checkpoint", *(f"model.ckpt-3{suffix}" for suffix in checkpoints.SUFFIXES)])
    assert values[0] == 1.0
    assert values[-1] == 2.0
    assert sorted(values) == values


def test_the_record_says_what_the_checkpoint_is(tmp_path: Path) -> None:
    record = json.loads(Path(f"{save(tmp_path, 1)}.json").read_text())
    assert record["step"] == 1
    assert record["identity"] == {"model": {"size": 2, "layers": [3, 4]}, "tasks": ["a"]}
    assert set(record["files"]) == {"model.ckpt-1.index", "model.ckpt-1.data-00000-of-00001"}
