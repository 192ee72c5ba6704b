"""Up and stop: what is started in which order, when it is ready, and how it is ended.

The order matters. The API server comes first: a scheduler that is up before it starts overdue runs at once, and their
tasks fail because they cannot report. At the end it goes last, for the same reason.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import psutil

from ops_common.artifacts import write_json
from ops_common.errors import ServiceError
from ops_common.object_store import parse_s3_uri
from ops_common.processes import last_lines
from ops_platform import child_guard, s3_server
from ops_platform.embedded import layout as places
from ops_platform.embedded import services
from ops_platform.embedded.airflow_api import AirflowApi
from ops_platform.embedded.layout import Layout
from ops_platform.embedded.services import Service
from ops_platform.settings import TRAINING_POOL

AIRFLOW_SERVICES = ("api-server", "dag-processor", "scheduler", "triggerer")
NEEDED = {"metadatabase", "scheduler", "dag_processor"}  # the triggerer serves deferred tasks only: not waited for
DAGS = (
    "gematria_import",
    "gematria_train",
    "gematria_predict",
    "gematria_sweep",
    "pythonexpr_import",
    "pythonexpr_standalone",
    "pythonexpr_continue",
    "pythonexpr_distributed",
    "ops_clean_up",
    "pythonexpr_sweep",
    "release_rollback",
)
START_LIMIT_SECONDS = 240.0
_STOP_SECONDS = 20.0
_API_STOP_SECONDS = 4.0

Say = Callable[[str], None]


@dataclass(slots=True)
class Instance:
    """One start of the platform: what `platform.json` says."""

    id: str
    fingerprint: str
    ports: dict[str, int]
    services: list[Service] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write down what is running, before and after each change of it."""
        write_json(path, asdict(self))


def read_instance(layout: Layout) -> Instance | None:
    """The instance that was started last and not stopped, whatever is left of it."""
    try:
        data = json.loads(layout.state_path.read_bytes())
        started = [Service(**service) for service in data.pop("services")]
        return Instance(**data, services=started)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ServiceError(
            f"{layout.state_path} cannot be read: {error}",
            f"end the processes whose environment has {services.MARK}, then remove the file",
        ) from None


def api_of(instance: Instance) -> AirflowApi:
    """A client of an instance's Airflow."""
    return AirflowApi(places.airflow_url(instance.ports), places.USER, places.PASSWORD)


def is_healthy(instance: Instance) -> bool:
    """Whether everything that was started still runs and Airflow says that it works."""
    if len(instance.services) != 1 + len(AIRFLOW_SERVICES):
        return False
    if not all(service.is_running() for service in instance.services):
        return False
    health = api_of(instance).health()
    return all(health.get(name) == "healthy" for name in NEEDED)


def up(layout: Layout, say: Say) -> Instance:
    """Start the platform, or find it running.

    Args:
        layout: Where it stands.
        say: Told what is going on, a line at a time.

    Returns:
        The running instance.

    Raises:
        ConfigError: A port that was asked for is taken.
        ServiceError: A service ended or did not become ready; shows the end of its log.
    """
    with _one_at_a_time(layout):
        running = read_instance(layout)
        if running is not None:
            if running.fingerprint == _fingerprint(layout, running.ports) and is_healthy(running):
                say(f"already running: {places.airflow_url(running.ports)}")
                return running
            say("a platform of an earlier time is not as it should be: stopping what is left of it")
            _stop(layout, running, say)
        _end_forgotten(layout, say)
        ports = places.choose_ports(layout.config.asked_ports)
        instance = Instance(uuid.uuid4().hex, _fingerprint(layout, ports), ports)
        try:
            _start_all(layout, instance, say)
        except BaseException:  # also Ctrl-C: an interrupted start leaves nothing behind
            _stop(layout, instance, lambda _line: None)
            raise
        return instance


def stop(layout: Layout, say: Say) -> bool:
    """End what was started here, also what is left of a crash or of an interrupted start, and nothing else.

    Returns:
        Whether there was anything to end.
    """
    with _one_at_a_time(layout):
        instance = read_instance(layout)
        stopped = instance is not None and _stop(layout, instance, say)
        return _end_forgotten(layout, say) or stopped


def _start_all(layout: Layout, instance: Instance, say: Say) -> None:
    started = time.monotonic()
    places.prepare_folders(layout)
    instance.save(layout.state_path)  # before the first process: whatever happens now, `stop` knows the mark
    environment = {**places.service_environment(layout, instance.ports), services.HOME_MARK: str(layout.home)}
    keys = places.object_store_variables(layout, instance.ports)
    buckets = [parse_s3_uri(layout.config.destination)[0]]
    serve = s3_server.command(layout.s3_dir, places.HOST, instance.ports["s3"], buckets)
    _start(layout, instance, "s3", serve, {**environment, **keys})
    _migrate(layout, environment, instance, say)
    api = api_of(instance)
    say("starting Airflow")
    _start_airflow(layout, instance, "api-server", environment)
    _wait(layout, instance, "the API server answers", api.is_answering)
    _wait(layout, instance, "the object store answers", lambda: _serves_objects(keys, buckets))
    api.make_pool(TRAINING_POOL, 1, "one training at a time")
    for name in AIRFLOW_SERVICES[1:]:
        _start_airflow(layout, instance, name, environment)
    if layout.config.otlp_endpoint:
        export = [sys.executable, "-m", "ops_platform.metrics.export"]
        _start(layout, instance, "metrics", export, environment)
    _wait(layout, instance, "the DAGs are known", lambda: _are_dags_known(api))
    _wait(layout, instance, "Airflow is healthy", lambda: is_healthy(instance))
    say(f"Airflow is up after {time.monotonic() - started:.0f} s: {api.url}")


def _serves_objects(keys: Mapping[str, str], buckets: Sequence[str]) -> bool:
    access_key, secret_key = keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"]
    return s3_server.is_ready(keys["AWS_ENDPOINT_URL"], access_key, secret_key, buckets)


def _are_dags_known(api: AirflowApi) -> bool:
    errors = api.import_errors()
    if errors:
        name, trace = next(iter(errors.items()))
        raise ServiceError(
            f"the DAG file {name} cannot be loaded: {trace.strip().splitlines()[-1]}",
            "mend the file, or remove it; `make doctor` says whether a package is missing",
        )
    return all(api.has_dag(dag_id) for dag_id in DAGS)


def _migrate(layout: Layout, environment: Mapping[str, str], instance: Instance, say: Say) -> None:
    done = layout.airflow_home / f"migrated-{version('apache-airflow')}"
    if done.exists():
        return
    say("preparing Airflow's database")
    log_path = layout.logs_dir / "db-migrate.log"
    with log_path.open("wb") as log:
        status = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env={**environment, services.MARK: instance.id},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    if status:
        raise ServiceError(
            f"Airflow's database could not be prepared (status {status}):\n{last_lines(log_path)}",
            f"remove {layout.airflow_home} to begin anew",
        )
    done.touch()


def _start_airflow(layout: Layout, instance: Instance, name: str, environment: Mapping[str, str]) -> None:
    _start(layout, instance, name, [sys.executable, "-m", "airflow", name], environment)


def _start(layout: Layout, instance: Instance, name: str, command: list[str], environment: Mapping[str, str]) -> None:
    log_path = layout.logs_dir / f"{name}.log"
    cwd = layout.config.project_root
    instance.services.append(services.start(name, command, environment, instance.id, log_path, cwd))
    instance.save(layout.state_path)


def _wait(layout: Layout, instance: Instance, what: str, is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + START_LIMIT_SECONDS
    while not is_true():
        for service in instance.services:
            if not service.is_running():
                log_path = layout.logs_dir / f"{service.name}.log"
                raise ServiceError(
                    f"{service.name} has ended while starting; the end of {log_path}:\n{last_lines(log_path)}",
                    "`make stop`, then `make doctor`: a port, the disk, memory or a package",
                )
        if time.monotonic() > end:
            raise ServiceError(
                f"after {START_LIMIT_SECONDS:.0f} s still not true: {what}", f"see the logs in {layout.logs_dir}"
            )
        time.sleep(0.3)


def _stop(layout: Layout, instance: Instance, say: Say) -> bool:
    """End an instance: scheduler and tasks first, the API server last, because the others report to it."""
    by_name = {service.name: service for service in instance.services}
    tasks, grace = _running_tasks(instance), layout.config.stop_grace_seconds
    if tasks:
        say(f"{len(tasks)} task(s) are running: they save their state first (at most {grace:.0f} s)")
    # The scheduler before the tasks, so that none of them is started again.
    _signal_all([by_name[name] for name in ("scheduler",) if name in by_name])
    _signal_all(tasks)
    services.wait_until_gone(tasks, grace + 5)
    others = [service for name, service in by_name.items() if name != "api-server"]
    _signal_all(others)
    services.wait_until_gone(others, _STOP_SECONDS)
    # The API server is done after a second, but its interpreter then takes ten to end: not worth waiting for.
    num_left = services.end_processes(lambda: _all_processes(instance), _API_STOP_SECONDS)
    layout.state_path.unlink(missing_ok=True)
    return bool(num_left or tasks or others)


def _end_forgotten(layout: Layout, say: Say) -> bool:
    """End processes of this folder that nothing is written down about, because somebody removed the folder."""

    def forgotten() -> list[psutil.Process]:
        return services.find_marked(str(layout.home), services.HOME_MARK)

    if not forgotten():
        return False
    say(f"ending processes of an earlier {layout.home} that was removed while they ran")
    return services.end_processes(forgotten, _STOP_SECONDS) > 0


def _signal_all(running: Iterable[Service]) -> None:
    for service in running:
        services.signal_service(service, signal.SIGTERM)


def _all_processes(instance: Instance) -> list[psutil.Process]:
    """Everything that runs for an instance: what carries its mark, and what was started, should it hide the mark."""
    found = {process.pid: process for process in services.find_marked(instance.id)}
    for service in instance.services:
        if service.is_running() and service.pid not in found:
            with suppress(psutil.Error):
                found[service.pid] = psutil.Process(service.pid)
    return list(found.values())


def _running_tasks(instance: Instance) -> list[Service]:
    """The guards of the tasks that are running: they end their task properly."""
    found = []
    for process in services.find_marked(instance.id):
        try:
            if child_guard.__file__ in process.cmdline():
                found.append(Service("task", process.pid, process.create_time()))
        except psutil.Error:
            continue
    return found


def _fingerprint(layout: Layout, ports: Mapping[str, int]) -> str:
    """What the services were started with: their environment and the plugin code, which only a restart reloads."""
    digest = hashlib.sha256()
    environment = places.service_environment(layout, ports)
    ours = {name: value for name, value in environment.items() if name.startswith(("AIRFLOW", "OPS_", "PYTHONPATH"))}
    digest.update(json.dumps(ours, sort_keys=True).encode())
    for path in sorted((layout.config.project_root / "plugins").rglob("*.py")):
        if "embedded" not in path.parts:
            digest.update(path.read_bytes())
    return digest.hexdigest()


@contextmanager
def _one_at_a_time(layout: Layout) -> Iterator[None]:
    """Keep two commands from starting and stopping the same platform at the same time."""
    layout.home.mkdir(parents=True, exist_ok=True)
    with (layout.home / "platform.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
