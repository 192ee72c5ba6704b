"""The flags: all of the public runners', with their types and defaults, and what they set."""

import subprocess
import sys

import pytest
from absl import flags

from gematria_ops.config import GraniteRunnerConfig, LossType, RunnerConfig
from gematria_ops.flags import config_from_flags, define_flags
from ops_common.config import walk_settings
from ops_common.errors import UsageError
from tests.gematria.public_flags import COMMON_FLAGS, ENUM_MEMBERS, GRANITE_FLAGS, SEQUENCE_FLAGS

PROGRAMS = {
    "run_sequence_model": (RunnerConfig, [*COMMON_FLAGS, *SEQUENCE_FLAGS]),
    "run_granite_model": (GraniteRunnerConfig, [*COMMON_FLAGS, *GRANITE_FLAGS]),
}
PUBLIC_FLAGS = [(program, *flag) for program, (_, listed) in PROGRAMS.items() for flag in listed]
# Every flag of both programs, ours included.
EVERY_FLAG = [(name, item.flag.name) for name in PROGRAMS for item in walk_settings(PROGRAMS[name][0]) if item.flag]


def parse(*arguments: str, program: str = "run_sequence_model") -> flags.FlagValues:
    values = flags.FlagValues()
    define_flags(values, PROGRAMS[program][0])
    values(["program", *arguments])
    return values


def config(*arguments: str, program: str = "run_sequence_model") -> RunnerConfig:
    return config_from_flags(parse(*arguments, program=program), PROGRAMS[program][0])


@pytest.mark.parametrize(("program", "name", "kind", "default"), PUBLIC_FLAGS)
def test_public_flag(program: str, name: str, kind: str, default: object) -> None:
    flag = parse(program=program)[name]
    assert (flag.flag_type(), flag.value) == (kind, default)
    assert flag.help


@pytest.mark.parametrize(("name", "members"), ENUM_MEMBERS.items())
def test_enumerations(name: str, members: list[str]) -> None:
    assert list(parse(program="run_granite_model")[name].parser.enum_values) == members
    chosen = parse(f"--{name}={members[-1].lower()}", program="run_granite_model")
    assert chosen[name].value == members[-1]


@pytest.mark.parametrize("program", PROGRAMS)
def test_flags_of_our_own_say_so(program: str) -> None:
    kind, listed = PROGRAMS[program]
    public = {name for name, _, _ in listed}
    ours = {item.flag.name for item in walk_settings(kind) if item.flag and item.flag.help.startswith("(ours)")}
    every = {item.flag.name for item in walk_settings(kind) if item.flag}
    assert every - public == ours
    # The kind of model is chosen by the program, or by the settings file.
    assert [item.key for item in walk_settings(kind) if not item.flag] == ["model.kind"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_arguments_flags_give_the_default_settings(program: str) -> None:
    assert config(program=program) == PROGRAMS[program][0]()


# A value for every flag that is not its default; the setting must follow it.
OTHER_VALUES = {
    "string enum": lambda default, name: ENUM_MEMBERS[name][-1],
    "comma separated list of strings": lambda default, name: "1,2",
    "multi string": lambda default, name: "other",
    "string": lambda default, name: "7",
    "float": lambda default, name: "0.25",
    "int": lambda default, name: "6",
    "bool": lambda default, name: str(not default).lower(),
}


@pytest.mark.parametrize(("program", "name"), EVERY_FLAG)
def test_each_flag_sets_its_own_setting_and_no_other(program: str, name: str) -> None:
    flag = parse(program=program)[name]
    settings = walk_settings(PROGRAMS[program][0])
    keys = {item.flag.name: item.key for item in settings if item.flag}
    argument = f"--{name}={OTHER_VALUES[flag.flag_type()](flag.default, name)}"
    # What a value needs beside it, where a rule connects two settings.
    companions = {
        "gematria_learning_rate_schedule": ["--gematria_decay_steps=1"],
        "gematria_resume_from_dir": ["--gematria_resume_to_dir=x"],
        "gematria_resume_to_dir": ["--gematria_resume_from_dir=x"],
    }.get(name, [])
    before, after = (
        config(*(companions if name == "gematria_learning_rate_schedule" else []), program=program),
        config(*companions, argument, program=program),
    )
    changed = {key for key in keys.values() if value_at(before, key) != value_at(after, key)}
    allowed = {keys[name], *(keys[part.partition("=")[0].strip("-")] for part in companions)}
    assert keys[name] in changed <= allowed


def value_at(config: object, key: str) -> object:
    for part in key.split("."):
        config = getattr(config, part)
    return config


def test_absl_syntax() -> None:
    found = config(
        "--gematria_input_file=a.tfrecord,b.tfrecord",
        "--gematria_throughput_source_filter=ithemal: kind=KIND_MEASURED, uarch=ARCH_HASWELL",
        "--gematria_throughput_source_filter",
        "bhive: skl",
        "--gematria_bidirectional",
        "--nogematria_training_randomize_batches",
        "--gematria_loss_type=mean_Absolute_error",
        "--gematria_output_layers=32, 33, 34",
    )
    assert found.input.files == ("a.tfrecord", "b.tfrecord")
    assert found.input.source_filters == ("ithemal: kind=KIND_MEASURED, uarch=ARCH_HASWELL", "bhive: skl")
    assert found.model.bidirectional
    assert not found.batch.randomize
    assert found.loss.loss_type is LossType.MEAN_ABSOLUTE_ERROR
    assert found.model.output_layers == (32, 33, 34)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gematria_token_embedding_size=0"], "--gematria_token_embedding_size: Input should be greater than 0"),
        (["--gematria_output_layers=256,foo"], "--gematria_output_layers: Input should be a valid integer"),
        (["--gematria_output_layers=-1, 10"], "--gematria_output_layers: Input should be greater than 0"),
        (["--gematria_collected_percentile_ranks=50,x"], "--gematria_collected_percentile_ranks: Input should be"),
        (["--gematria_learning_rate=nan"], "--gematria_learning_rate: Input should be a finite number"),
        (["--gematria_task_names=a", "--gematria_task_names=b"], "--gematria_task_names"),
    ],
)
def test_values_that_flags_allow_and_settings_do_not(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        config(*arguments)
    assert message in caught.value.message


def run(*arguments: str, program: str = "run_sequence_model") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"gematria_ops.{program}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_lists_every_flag(program: str) -> None:
    text = run("--help", program=program).stdout
    names = [name for owner, name in EVERY_FLAG if owner == program]
    assert [name for name in names if f"--{name}:" not in text and f"--[no]{name}:" not in text] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gematria_lerning_rate=1"], "Unknown command line flag 'gematria_lerning_rate'. Did you mean"),
        (["--gematria_loss_type=L3"], "value should be one of <MEAN_SQUARED_ERROR|MEAN_ABSOLUTE_ERROR|HUBER>"),
        (["--gematria_training_num_epochs=many"], "--gematria_training_num_epochs=many"),
        (["train"], "not a flag: 'train'"),
        ([], "--gematria_tokens_file) is required"),
        (["--gematria_action=eval"], "--gematria_tokens_file) is required for the action eval"),
        (["--gematria_grad_clip_norm=-inf"], "--gematria_grad_clip_norm: Input should be a finite number"),
    ],
)
def test_a_wrong_command_line_ends_with_one_message_and_code_2(arguments: list[str], message: str) -> None:
    finished = run(*arguments)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stdout == ""
