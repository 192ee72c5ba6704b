"""Settings from TOML files and overrides: what is taken, what is refused, and with which words."""

import hashlib
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, ValidationError

from ops_common.config import (
    NamedEnum,
    Section,
    build_config,
    fingerprint,
    load_config,
    plain_values,
    setting,
    to_toml,
    walk_settings,
)
from ops_common.errors import ConfigError


class Colour(NamedEnum):
    RED = 1
    DARK_BLUE = 2


class Paint(Section):
    colour: Colour = setting(Colour.RED, "paint_colour", "The colour.")
    layers: Annotated[int, Field(gt=0)] = setting(2, "paint_layers", "How many layers.")
    maker: str | None = setting(None, "paint_maker", "Who makes it.")
    mixed_from: tuple[str, ...] = setting((), "paint_mixed_from", "What it is mixed from.")


class House(Section):
    name: str = setting("home", "house_name", "Its name.")
    height_metres: float = 3.0
    paint: Paint = Paint()


def load(text: str, tmp_path: Path, *overrides: str) -> House:
    path = tmp_path / "house.toml"
    path.write_text(text)
    return load_config(House, path, overrides)


def test_a_file_sets_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    house = load('name = "villa"\n[paint]\ncolour = "dark_blue"\nmixed_from = ["a", "b"]\n', tmp_path)
    assert house == House(name="villa", paint=Paint(colour=Colour.DARK_BLUE, mixed_from=("a", "b")))


def test_without_a_file_there_are_the_defaults() -> None:
    assert load_config(House, None) == House()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("paint.layers=3", House(paint=Paint(layers=3))),
        ("paint.colour=dark_blue", House(paint=Paint(colour=Colour.DARK_BLUE))),
        ('name="a = b"', House(name="a = b")),
        ("name=a = b", House(name="a = b")),
        ("name=2024", House(name="2024")),
        ("paint.maker=true", House(paint=Paint(maker="true"))),
        ("height_metres=1e1", House(height_metres=10.0)),
        ('paint.mixed_from=["x"]', House(paint=Paint(mixed_from=("x",)))),
    ],
)
def test_overrides(override: str, expected: House, tmp_path: Path) -> None:
    assert load("[paint]\nlayers = 9\n", tmp_path, "paint.layers=2", override) == expected


@pytest.mark.parametrize(
    ("text", "overrides", "message", "hint"),
    [
        ("[paint]\ncolor = 1\n", (), "unknown setting 'paint.color'", "did you mean 'paint.colour'?"),
        ("heigth_metres = 1\n", (), "unknown setting 'heigth_metres'", "did you mean 'height_metres'?"),
        ("[paint]\nlayers = 0\n", (), "paint.layers: Input should be greater than 0 (given: 0)", ""),
        ('[paint]\nlayers = "many"\n', (), "paint.layers: Input should be a valid integer", ""),
        ('[paint]\ncolour = "green"\n', (), "paint.colour: must be one of RED, DARK_BLUE (given: 'green')", ""),
        ("height_metres = nan\n", (), "height_metres: Input should be a finite number", ""),
        ("height_metres = inf\n", (), "height_metres: Input should be a finite number", ""),
        ("paint = 3\n", (), "paint: Input should be a valid dictionary or instance of Paint (given: 3)", ""),
        ("name = \n", (), "house.toml is not a TOML file", ""),
        ("", ("layers=3",), "override 'layers=3': unknown setting 'layers'", "did you mean 'paint.layers'?"),
        ("", ("paint.layers",), "override 'paint.layers': expected section.key=value", "for example num_steps=100"),
        ("", ("x.y.z=1",), "unknown setting 'x.y.z'", "known settings: height_metres, name, paint.colour"),
        ("paint = 3\n", ("paint.layers=1",), "'paint' is not a section in the settings file", ""),
    ],
)
def test_refused(text: str, overrides: tuple[str, ...], message: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text, tmp_path, *overrides)
    assert message in caught.value.message
    assert hint in caught.value.hint
    if not overrides:
        assert "house.toml" in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the settings file .*none\.toml"):
        load_config(House, tmp_path / "none.toml")


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "house.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"cannot read the settings file .*house\.toml"):
        load_config(House, tmp_path / "house.toml")


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(House, {"height_metres": "x", "paint": {"layers": -1}}, where="form")
    assert [line.split(": ")[:2] for line in caught.value.message.splitlines()] == [
        ["form", "height_metres"],
        ["form", "paint.layers"],
    ]


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        House().name = "other"


def test_walking_gives_every_leaf_with_its_flag() -> None:
    found = {item.key: item.flag.name if item.flag else None for item in walk_settings(House)}
    assert found == {
        "name": "house_name",
        "height_metres": None,
        "paint.colour": "paint_colour",
        "paint.layers": "paint_layers",
        "paint.maker": "paint_maker",
        "paint.mixed_from": "paint_mixed_from",
    }


def test_the_fingerprint_follows_the_values_and_nothing_else(tmp_path: Path) -> None:
    assert fingerprint(House()) == fingerprint(load('name = "home"\n', tmp_path))
    assert fingerprint(House()) != fingerprint(House(paint=Paint(layers=3)))
    canonical = '{"height_metres":3.0,"name":"home","paint":{"colour":"RED","layers":2,"maker":null,"mixed_from":[]}}'
    assert fingerprint(House()) == hashlib.sha256(canonical.encode()).hexdigest()


@pytest.mark.parametrize(
    "house",
    [
        House(),
        House(name='quo"te\\ \n\t\x7f é', height_metres=1e-07),
        House(paint=Paint(maker="m", mixed_from=("a", 'b"'), colour=Colour.DARK_BLUE)),
    ],
)
def test_settings_survive_being_written_as_toml(house: House, tmp_path: Path) -> None:
    assert load(to_toml(house), tmp_path) == house


def test_plain_values_are_what_json_can_say() -> None:
    assert plain_values(House())["paint"] == {"colour": "RED", "layers": 2, "maker": None, "mixed_from": []}
