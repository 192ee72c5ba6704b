"""What a run is asked for, wherever it comes from: one schema, checked in one way.

    the form, the REST API, `airflow dags trigger --conf`    Airflow checks it against the form's fields
    a file (TOML or JSON), `field=value` on a command line   `check_conf` checks it against the same fields
    all of them                                              the first task of the run checks what no single field says

    python -m ops_platform.conf gematria_train --file request.toml training_steps=2000 --trigger

prints the conf that this makes, or starts a run of the platform that is up. `make trigger` does the latter.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import Param
from airflow.sdk.exceptions import ParamValidationError

from fastnode_ops.corpus_request import CorpusRequest
from fastnode_ops.distributed_request import DistributedRequest
from fastnode_ops.requests import ContinueRequest, StandaloneRequest
from fastnode_ops.sweep_request import ExpressionSweepRequest
from gematria_ops.prediction_requests import PredictRequest
from gematria_ops.requests import ImportRequest, TrainRequest
from gematria_ops.sweep_request import SweepRequest
from ops_common.clean_up import CleanUpRequest
from ops_common.config import Section, build_config, parse_override, read_values, walk_settings
from ops_common.errors import ConfigError, OpsError, ServiceError
from ops_platform.requests import form_fields
from ops_platform.roll_back import RollBackRequest

REQUESTS: dict[str, type[Section]] = {
    "gematria_import": ImportRequest,
    "gematria_train": TrainRequest,
    "gematria_predict": PredictRequest,
    "gematria_sweep": SweepRequest,
    "pythonexpr_import": CorpusRequest,
    "pythonexpr_standalone": StandaloneRequest,
    "pythonexpr_continue": ContinueRequest,
    "pythonexpr_distributed": DistributedRequest,
    "pythonexpr_sweep": ExpressionSweepRequest,
    "ops_clean_up": CleanUpRequest,
    "release_rollback": RollBackRequest,
}
"""What each workflow may be asked for."""


def read_fields(request: type[Section], fields: Sequence[str]) -> dict[str, Any]:
    """Reads `field=value` items; a value is TOML (`5`, `true`, `["a"]`), or else the text as it stands.

    Raises:
        ConfigError: An item has no `=`, or names no field.
    """
    known = {setting.key: setting.field for setting in walk_settings(request)}
    values: dict[str, Any] = {}
    for item in fields:
        name, equals, text = item.partition("=")
        if not equals:
            raise ConfigError(f"{item!r} is not field=value")
        values[name] = parse_override(text, known[name]) if name in known else text
    return values


def check_conf(request: type[Section], values: Mapping[str, Any]) -> None:
    """Checks a request as Airflow does when a run is triggered, and then as the run's first task does.

    Raises:
        ConfigError: A field is unknown or has a value that it does not take, or fields contradict each other.
    """
    fields = _fields(request)
    for name, value in values.items():
        if name in fields:
            try:
                copy.deepcopy(fields[name]).resolve(value)
            except ParamValidationError as error:
                raise ConfigError(f"conf: {name}: {first_line(error)}", str(fields[name].description)) from None
    build_config(request, values, where="conf")


@functools.cache
def _fields(request: type[Section]) -> dict[str, Param]:
    return form_fields(request)


def first_line(error: Exception) -> str:
    """What a check says is wrong, without the schema that it quotes behind it."""
    return str(error).strip().partition("\n")[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line; print the conf, or start the run."""
    parser = argparse.ArgumentParser(prog="conf", description="Check what a run is asked for; start it.")
    parser.add_argument("dag", choices=sorted(REQUESTS), help="the workflow")
    parser.add_argument("fields", nargs="*", help="field=value, over what the file says")
    parser.add_argument("--file", type=Path, help="a request as TOML or JSON")
    parser.add_argument("--trigger", action="store_true", help="start a run of the platform that is up")
    options = parser.parse_intermixed_args(arguments)
    request = REQUESTS[options.dag]
    try:
        conf = {**(read_values(options.file) if options.file else {}), **read_fields(request, options.fields)}
        check_conf(request, conf)
        print(_trigger(options.dag, conf) if options.trigger else json.dumps(conf, ensure_ascii=False))
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _trigger(dag_id: str, conf: Mapping[str, Any]) -> str:
    from ops_platform.embedded import layout as places
    from ops_platform.embedded import lifecycle

    instance = lifecycle.read_instance(places.load_layout())
    if instance is None:
        raise ServiceError("the platform is not running", "make up")
    return lifecycle.api_of(instance).trigger(dag_id, conf)


if __name__ == "__main__":
    sys.exit(main())
