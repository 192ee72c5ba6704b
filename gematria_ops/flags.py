"""absl flags for every setting that has one, declared by walking the settings; flags and TOML fill the same record."""

from __future__ import annotations

import sys
import types
import typing
from enum import Enum
from typing import Any

from absl import flags
from pydantic.fields import FieldInfo

from gematria_ops.config import RunnerConfig
from gematria_ops.config.runner import FLAGS_BY_KEY
from ops_common.config import C, Flag, build_config, walk_settings
from ops_common.errors import ConfigError, UsageError


def define_flags(flag_values: flags.FlagValues, config: type[RunnerConfig] = RunnerConfig) -> None:
    """Declare one flag for each setting that has one; `--help` lists them as the program's own."""
    for setting in walk_settings(config):
        if setting.flag is not None:
            _define(setting.flag, setting.field, flag_values)


def config_from_flags(flag_values: flags.FlagValues, config: type[C]) -> C:
    """Return the settings that parsed flags stand for.

    Raises:
        UsageError: A value is out of range, or contradicts another; the message names the flag.
    """
    values: dict[str, Any] = {}
    for setting in walk_settings(config):
        if setting.flag is not None:
            *sections, name = setting.key.split(".")
            target = values
            for part in sections:
                target = target.setdefault(part, {})
            target[name] = flag_values[setting.flag.name].value
    try:
        return build_config(config, values, where="command line", spell=_spell_flag)
    except ConfigError as error:
        raise UsageError(error.message, error.hint) from None


def _spell_flag(key: str) -> str:
    """Turn `model.output_layers.1`, an item of a list, into `--gematria_output_layers`."""
    while key not in FLAGS_BY_KEY and "." in key:
        key = key.rpartition(".")[0]
    return f"--{FLAGS_BY_KEY[key]}" if key in FLAGS_BY_KEY else key


def _define(flag: Flag, field: FieldInfo, flag_values: flags.FlagValues) -> None:
    default, kind = field.default, plain_type(field.annotation)
    # The program's own name makes absl list the flag in the short help, not only in --helpfull.
    common: dict[str, Any] = {"flag_values": flag_values, "module_name": sys.argv[0]}
    if issubclass(kind, Enum):
        names = list(kind.__members__)
        flags.DEFINE_enum(flag.name, default.name, names, flag.help, case_sensitive=False, **common)
    elif issubclass(kind, tuple):
        words = [str(item) for item in default]
        if flag.repeated:
            flags.DEFINE_multi_string(flag.name, words, flag.help, **common)
        elif flag.as_text:
            flags.DEFINE_string(flag.name, ",".join(words), flag.help, **common)
        else:
            flags.DEFINE_list(flag.name, words, flag.help, **common)
    else:
        definers: dict[type, Any] = {
            bool: flags.DEFINE_boolean,
            int: flags.DEFINE_integer,
            float: flags.DEFINE_float,
            str: flags.DEFINE_string,
        }
        definers[kind](flag.name, default, flag.help, **common)


def plain_type(annotation: Any) -> type:
    """Return the type of a setting without its ranges and without None."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return plain_type(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return plain_type(next(part for part in typing.get_args(annotation) if part is not types.NoneType))
    found: type = origin or annotation
    return found
