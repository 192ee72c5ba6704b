"""Settings: TOML files and command-line overrides to one frozen, checked record.

pydantic does the types, the ranges and the freezing. This file adds what it does not do: messages that name the file,
the dotted key and the nearest known one; ``section.key=value`` overrides; the command-line flag of a field, declared
beside it; and a fingerprint.

A library declares its settings as subclasses of ``Section``:

    class BatchConfig(Section):
        max_blocks: int = setting(100, "gematria_max_blocks_in_batch", "Block limit per batch.")

    class RunnerConfig(Section):
        batch: BatchConfig = BatchConfig()

    load_config(RunnerConfig, Path("smoke.toml"), overrides=["batch.max_blocks=10"])
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from ops_common.errors import ConfigError

C = TypeVar("C", bound="Section")

MAX_REPORTED_ERRORS = 10


class Section(BaseModel):
    """A group of settings: frozen, unknown keys forbidden, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NamedEnum(Enum):
    """An enumeration whose members are written by name, in any case, in flags and TOML files."""

    @classmethod
    def _missing_(cls, value: object) -> NamedEnum | None:
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Flag:
    """The command-line flag of a setting, declared beside it with ``setting``.

    Args:
        name: Flag name without the dashes.
        help: One or two sentences for the command's help and for the generated tables.
        repeated: For lists: the flag is given once per item instead of once with commas.
        as_text: For lists: the flag is one plain string, which the field's own validator takes apart.
    """

    name: str
    help: str
    repeated: bool = False
    as_text: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """One leaf of a configuration: its dotted key, its field, and its flag (None when it has none)."""

    key: str
    field: FieldInfo
    flag: Flag | None


def setting(default: Any, flag: str, help: str, *, repeated: bool = False, as_text: bool = False) -> Any:
    """Declare a setting: its default value, its flag and its help; type and range are the field's annotation."""
    declared: Any = {"name": flag, "help": help, "repeated": repeated, "as_text": as_text}
    return Field(default=default, description=help, json_schema_extra={"flag": declared})


def walk_settings(section: type[Section], prefix: str = "") -> Iterator[Setting]:
    """Yield every setting of a configuration class, depth first in declaration order."""
    for name, field in section.model_fields.items():
        key = prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from walk_settings(field.annotation, key + ".")
        else:
            extra = field.json_schema_extra
            declared: Any = extra.get("flag") if isinstance(extra, dict) else None
            yield Setting(key, field, Flag(**declared) if declared else None)


def load_config(section: type[C], path: Path | None, overrides: Sequence[str] = ()) -> C:
    """Read a TOML file (or none: the defaults) and apply ``section.key=value`` overrides.

    Raises:
        ConfigError: The file is missing or is not TOML, a key is unknown, or a value is out of range; the message
            names the file or override, the dotted key, and the nearest known key.
    """
    where = "settings"
    values: dict[str, Any] = {}
    if path is not None:
        where, values = str(path), read_toml(path)
    known = {setting.key: setting for setting in walk_settings(section)}
    for override in overrides:
        _apply_override(values, override, known)
    return build_config(section, values, where=where)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file into nested values.

    Raises:
        ConfigError: The file is missing or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the settings file {path}: {error}", "config/ has examples") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not a TOML file: {error}") from error


def read_values(path: Path) -> dict[str, Any]:
    """Read nested values from a file: TOML when it is called so, else JSON.

    Raises:
        ConfigError: It cannot be read, or holds something else.
    """
    if path.suffix == ".toml":
        return read_toml(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is not a JSON object", "give an object of names and values")
    return values


def build_config(
    section: type[C], values: Mapping[str, Any], where: str = "settings", spell: Callable[[str], str] = str
) -> C:
    """Check nested values and build the configuration.

    Args:
        section: The configuration class.
        values: Nested values, as TOML gives them.
        where: Begins every error message: the file, or "command line".
        spell: Turns a dotted key into the name that the user gave, for error messages.

    Raises:
        ConfigError: A key is unknown, or a value is out of range.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise _config_error(section, error, where, spell) from None


def _apply_override(values: dict[str, Any], override: str, known: Mapping[str, Setting]) -> None:
    """Write one ``section.key=value`` into the nested values; the value is TOML, or else a plain string."""
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals:
        raise ConfigError(f"override {override!r}: expected section.key=value", "for example num_steps=100")
    if key not in known:
        raise ConfigError(f"override {override!r}: unknown setting {key!r}", hint=_nearest(key, known))
    target = values
    *sections, name = key.split(".")
    for part in sections:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            raise ConfigError(f"override {override!r}: {part!r} is not a section in the settings file")
    target[name] = parse_override(text, known[key].field)


def parse_override(text: str, field: FieldInfo) -> Any:
    """Read the value of a ``key=value``: TOML, or else the text as it stands; for a field of text always text."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    # A folder called 2024 is a name, not a number.
    is_text = _kinds(field.annotation) <= {str, type(None)}
    return text if is_text and not isinstance(value, str) else value


def _kinds(annotation: Any) -> set[Any]:
    """The types that an annotation allows, without their limits."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return {kind for part in get_args(annotation) for kind in _kinds(part)}
    return {annotation}


def _nearest(key: str, known: Mapping[str, object]) -> str:
    """Suggest the closest known dotted key, comparing whole keys first and last parts second."""
    by_last_part = {name.rpartition(".")[2]: name for name in known}
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if not close:
        matches = difflib.get_close_matches(key.rpartition(".")[2], by_last_part, n=1, cutoff=0.6)
        close = [by_last_part[match] for match in matches]
    return f"did you mean {close[0]!r}?" if close else "known settings: " + ", ".join(sorted(known))


def _config_error(
    section: type[Section], error: ValidationError, where: str, spell: Callable[[str], str]
) -> ConfigError:
    known = {setting.key: setting for setting in walk_settings(section)}
    problems = error.errors(include_url=False)
    lines, hint = [], ""
    told = set()
    for problem in problems[:MAX_REPORTED_ERRORS]:
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"{where}: unknown setting {key!r}")
            hint = hint or _nearest(key, known)
            continue
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "enum" and key in known:
            message = "must be one of " + ", ".join(getattr(known[key].field.annotation, "__members__", ()))
        if not key:
            lines.append(f"{where}: {message}")  # a rule between settings, which names them itself
        elif spell(key) not in told:  # one message is enough for a list, of which several items are wrong
            lines.append(f"{where}: {spell(key)}: {message} (given: {problem['input']!r})")
            told.add(spell(key))
    if len(problems) > MAX_REPORTED_ERRORS:
        lines.append(f"... and {len(problems) - MAX_REPORTED_ERRORS} more")
    return ConfigError("\n".join(lines), hint=hint)


def plain_values(config: BaseModel) -> dict[str, Any]:
    """Return the settings as nested plain values (enumerations by name), ready for JSON."""
    plain: dict[str, Any] = _plain(config.model_dump())
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.name
    return str(value) if isinstance(value, Path) else value


def fingerprint(config: BaseModel) -> str:
    """Return the SHA-256 of the settings' canonical JSON (sorted keys, no spaces, enumerations by name)."""
    # Read once more, since defaults are taken as they stand: 15 for a float, which a file's 15 makes 15.0.
    read = type(config).model_validate(config.model_dump())
    text = json.dumps(plain_values(read), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def to_toml(config: BaseModel) -> str:
    """Write the settings as TOML that ``load_config`` reads back equal; unset (None) settings are left out."""
    return toml_text(plain_values(config))


def toml_text(settings: Mapping[str, Any]) -> str:
    """Write settings that are plain values already (``plain_values``), as ``to_toml`` does."""
    values = {key: value for key, value in settings.items() if value is not None}
    lines = [f"{key} = {_toml_value(value)}" for key, value in values.items() if not isinstance(value, dict)]
    for name, section in values.items():
        if isinstance(section, dict):
            lines += ["", f"[{name}]"]
            lines += [f"{key} = {_toml_value(value)}" for key, value in section.items() if value is not None]
    return "\n".join(lines).lstrip("\n") + "\n"


def _toml_value(value: str | int | float | bool | list[Any]) -> str:
    # JSON's numbers, booleans, strings and lists are TOML's too, except for the delete character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
