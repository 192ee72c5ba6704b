"""From a signature and values to the options of a command."""

import pytest
from ops_platform.command_line import check_arguments, command_name, command_options

from ops_common.errors import ConfigError


def weigh_things(
    *, run_dir: str, count: int = 1, share: float = 0.5, really: bool = True, names: list[str] | None = None
) -> dict[str, str]:
    """A task function."""
    raise AssertionError("must not be called")


def test_a_command_has_the_functions_name() -> None:
    assert command_name(weigh_things) == "weigh-things"


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ({"run_dir": "/r"}, ["--run-dir=/r"]),
        ({"run_dir": "--help; rm -r $HOME `x`"}, ["--run-dir=--help; rm -r $HOME `x`"]),
        ({"run_dir": "", "count": 3}, ["--run-dir=", "--count=3"]),
        ({"run_dir": "r", "count": "3"}, ["--run-dir=r", "--count=3"]),
        ({"run_dir": "r", "count": 3.0}, ["--run-dir=r", "--count=3"]),
        ({"run_dir": "r", "share": 1}, ["--run-dir=r", "--share=1.0"]),
        ({"run_dir": "r", "share": 1e-7}, ["--run-dir=r", "--share=1e-07"]),
        ({"run_dir": "r", "really": True}, ["--run-dir=r", "--really"]),
        ({"run_dir": "r", "really": "False"}, ["--run-dir=r", "--no-really"]),
        ({"run_dir": "r", "names": ["a b", "-c"]}, ["--run-dir=r", "--names=a b", "--names=-c"]),
        ({"run_dir": "r", "names": []}, ["--run-dir=r"]),
        ({"run_dir": "r", "names": None, "count": None}, ["--run-dir=r"]),
    ],
)
def test_options(arguments: dict[str, object], options: list[str]) -> None:
    assert command_options(weigh_things, arguments) == options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 2.5}, "weigh_things: argument 'count' is 2.5\n  hint: it takes int"),
        ({"count": "three"}, "weigh_things: argument 'count' is 'three'\n  hint: it takes int"),
        ({"count": True}, "weigh_things: argument 'count' is True\n  hint: it takes int"),
        ({"share": "half"}, "weigh_things: argument 'share' is 'half'\n  hint: it takes float"),
        ({"really": "maybe"}, "weigh_things: argument 'really' is 'maybe'\n  hint: it takes bool"),
        ({"run_dir": 7}, "weigh_things: argument 'run_dir' is 7\n  hint: it takes str"),
        ({"names": "a,b"}, "weigh_things: argument 'names' is 'a,b'\n  hint: it takes list[str]"),
        ({"names": [1]}, "weigh_things: argument 'names' is 1\n  hint: it takes str"),
    ],
)
def test_values_that_do_not_fit(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        command_options(weigh_things, arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"run_dir": "r", "cuont": 1}, "weigh_things has no argument 'cuont'"),
        ({"count": 1}, "weigh_things needs the argument 'run_dir'"),
        ({"run_dir": "r", "count": "many"}, "weigh_things: argument 'count' is 'many'"),
        ({"run_dir": "r", "names": ["a", 1]}, "weigh_things: argument 'names' is 1"),
    ],
)
def test_a_dag_with_wrong_arguments_does_not_parse(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_arguments(weigh_things, arguments)


def test_templates_and_xcoms_are_not_checked_before_they_have_values() -> None:
    later = object()  # what an XCom is while a DAG is parsed
    arguments = {"run_dir": "{{ run_id }}", "count": "{{ params.count }}", "share": later, "names": ["{{ x }}", later]}
    assert check_arguments(weigh_things, arguments) == ["run_dir", "count", "share", "names"]


def test_an_optional_name_may_be_unknown() -> None:
    assert check_arguments(weigh_things, {"run_dir": "r", "extra": 1}, optional=("extra",)) == ["run_dir"]
