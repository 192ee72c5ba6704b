"""Settings of Airflow that work for a while, and then do not. No Airflow is loaded for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from ops_platform.doctor.finding import Finding
from ops_platform.settings import Settings

Variables: TypeAlias = Mapping[str, str]

_DEFAULT_EXECUTOR = "LocalExecutor"
_LONG_TASK_SECONDS = 86_400


def check_airflow(environment: Variables, settings: Settings) -> list[Finding]:
    """What of Airflow's settings is a trap.

    Args:
        environment: Variables of Airflow's services: those of the embedded platform, or of another deployment.
        settings: Ours.

    Returns:
        A finding for each trap, or one that says there is none.
    """
    get = _getter(environment)
    executor = get("CORE__EXECUTOR") or _DEFAULT_EXECUTOR
    found = [look(get, executor, settings) for look in (_deferral, _database, _parallelism, _secrets, _redelivery)]
    traps = [finding for finding in found if finding is not None]
    return traps or [Finding("airflow settings", "ok", f"{executor}, no known trap")]


def check_stray_variables(environment: Variables) -> list[Finding]:
    """Whether variables for Airflow stand in an environment from which the embedded platform takes none."""
    names = sorted(name for name in environment if name.startswith(("AIRFLOW__", "AIRFLOW_HOME", "AIRFLOW_CONN_")))
    if not names:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    text = f"{', '.join(names[:3])}{more} are set; the platform of `make up` leaves them out"
    return [Finding("airflow settings", "warn", text, "nothing, if they are meant for another Airflow")]


def _getter(environment: Variables) -> Callable[[str], str]:
    return lambda name: environment.get(f"AIRFLOW__{name}", "")


def _deferral(_get: Callable[[str], str], executor: str, settings: Settings) -> Finding | None:
    if executor != "LocalExecutor" or settings.mode != "pod" or not settings.pods.deferrable:
        return None
    text = "OPS_POD_DEFERRABLE with LocalExecutor: a pod that ends within seconds can fail a good task"
    return Finding("airflow settings", "warn", text, "leave OPS_POD_DEFERRABLE=no, or use the CeleryExecutor")


def _database(get: Callable[[str], str], executor: str, _settings: Settings) -> Finding | None:
    if executor == "LocalExecutor" or not get("DATABASE__SQL_ALCHEMY_CONN").startswith("sqlite"):
        return None
    return Finding("airflow settings", "fail", f"SQLite with {executor}", "give it PostgreSQL")


def _parallelism(get: Callable[[str], str], executor: str, _settings: Settings) -> Finding | None:
    text = get("CORE__PARALLELISM") or "32"
    if executor != "LocalExecutor" or not text.isdigit() or int(text) <= 8:
        return None
    message = f"AIRFLOW__CORE__PARALLELISM is {text}: LocalExecutor forks as many idle workers"
    return Finding("airflow settings", "warn", message, "3 is enough for one training at a time")


def _secrets(get: Callable[[str], str], executor: str, _settings: Settings) -> Finding | None:
    missing = [name for name in ("API_AUTH__JWT_SECRET", "CORE__FERNET_KEY") if not get(name)]
    if executor == "LocalExecutor" or not missing:
        return None
    names = ", ".join(f"AIRFLOW__{name}" for name in missing)
    return Finding("airflow settings", "fail", f"{names} not set: services on other machines make up their own",
                   "set the same for all services; docker/init-env.sh makes them")  # fmt: skip


def _redelivery(get: Callable[[str], str], executor: str, _settings: Settings) -> Finding | None:
    text = get("CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT") or str(_LONG_TASK_SECONDS)
    if not executor.startswith("Celery") or not text.isdigit() or int(text) > _LONG_TASK_SECONDS:
        return None
    message = f"a task of more than {int(text) / 3600:.0f} hours is started a second time (visibility_timeout)"
    hint = "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT above the longest training"
    return Finding("airflow settings", "warn", message, hint)
