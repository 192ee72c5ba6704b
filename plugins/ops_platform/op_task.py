"""`op_task(function, **arguments)`: a task function of a library as an Airflow task.

The function is never called here. It names the task, its signature checks the arguments while the DAG file is parsed,
and the task runs the command of the same name as a child process of the worker:

    python -m gematria_ops train-model --run-dir=... --dataset-dir=... --result-file=<run>/results/train_model.json

The child's output becomes the task's log, line by line; the result file becomes the task's XCom value. With
OPS_MODE=pod the same command of some tasks runs in a pod of Kubernetes instead (`pods.py`).
"""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from ops_common.errors import OpsError
from ops_platform import child_guard, settings
from ops_platform.command_line import check_arguments, command_name, command_options, is_true
from ops_platform.object_store_connection import object_store_environment
from ops_platform.task_logs import line_of_log, log_environment
from ops_platform.task_outcome import FaultPolicy, failure, log_level, read_result

if TYPE_CHECKING:
    from ops_platform.pods import PodTask

Task: TypeAlias = "OpTask | PodTask"
"""A task made by `op_task`, wherever its command runs."""

_LINE_LIMIT = 16_384  # bytes of one log line; a longer line is cut into several
_NUM_LAST_LINES = 12  # of the child's output, kept for the error message


class OpTask(BaseOperator):
    """Runs the command of a task function as a child process. Made by `op_task`.

    Args:
        library: The package whose command is run, e.g. `gematria_ops`.
        function: The task function; only its name and signature are used.
        arguments: The function's arguments; templates and XComs are allowed.
        run_dir: Run folder in whose `results/` the result file and the lock of the task stand; templated.
        object_store: Whether the child is given the object store's endpoint and credentials.
        asset_extra: What the events of the outlets say; templated.
        only_if: The task is skipped unless this is true; templated.
    """

    template_fields: Collection[str] = ("arguments", "run_dir", "asset_extra", "only_if")
    ui_color = "#e6f0fa"

    def __init__(
        self,
        *,
        library: str,
        function: Callable[..., Any],
        arguments: Mapping[str, Any],
        run_dir: Any,
        object_store: bool = False,
        asset_extra: Mapping[str, Any] | None = None,
        only_if: Any = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.library = library
        self.function = function
        self.arguments = dict(arguments)
        self.run_dir = run_dir
        self.object_store = object_store
        self.asset_extra = dict(asset_extra or {})
        self.only_if = only_if
        self.files_name = self.task_id
        """Names the files of the task in `results/`."""
        self._guard: subprocess.Popen[bytes] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the command and return what it wrote into its result file."""
        return self.run_command(context)

    def run_command(self, context: Context) -> dict[str, Any]:
        """As `execute`, which Airflow lets nobody but its task runner call; for operators that do something before."""
        if not is_true(self.only_if):
            raise AirflowSkipException(f"{self.task_id} was not asked for")
        try:
            config = settings.load()
            options = command_options(self.function, self.arguments)
            store = object_store_environment(config.s3_connection_id) if self.object_store else {}
            environment = settings.child_environment(config, {**store, **log_environment(config, context)})
        except OpsError as error:
            raise AirflowFailException(str(error)) from None
        results = Path(str(self.run_dir)) / "results"
        results.mkdir(parents=True, exist_ok=True)
        result_path = results / f"{self.files_name}.json"
        result_path.unlink(missing_ok=True)  # an earlier attempt's answer is not this attempt's answer
        command = [config.python, "-m", self.library, command_name(self.function), *options]
        self._run([*command, f"--result-file={result_path}"], results, config, environment)
        result = read_result(self.task_id, result_path)
        for name, value in result.items():
            self.log.info("result: %s = %s", name, value)
        self._describe_assets(context)
        return result

    def on_kill(self) -> None:
        """Ask the command to save its state and leave; the guard sees to it if we do not live to see it."""
        if self._guard is not None and self._guard.poll() is None:
            self._guard.terminate()

    def _run(
        self, command: list[str], results: Path, config: settings.Settings, environment: Mapping[str, str]
    ) -> None:
        lock, grace = results / f".{self.files_name}.guard", f"{config.stop_grace_seconds:g}"
        guarded = [sys.executable, "-I", child_guard.__file__, f"--lock={lock}", f"--grace={grace}", "--", *command]
        self.log.info("command: %s", " ".join(command))
        last_lines: deque[str] = deque(maxlen=_NUM_LAST_LINES)
        # The write end of the guard's standard input is ours alone: when this process ends, however, the guard knows.
        self._guard = subprocess.Popen(
            guarded,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=config.project_root,
            env=dict(environment),
            start_new_session=True,
        )
        try:
            self._stream(self._guard, last_lines, environment)
            status = self._guard.wait()
        finally:
            self._end_guard(self._guard, config.stop_grace_seconds)
        if status != 0:
            raise failure(self.task_id, status, last_lines)

    def _stream(self, guard: subprocess.Popen[bytes], last_lines: deque[str], environment: Mapping[str, str]) -> None:
        assert guard.stdout is not None  # it was started with a pipe
        while raw := guard.stdout.readline(_LINE_LIMIT):
            for part in raw.decode("utf-8", errors="replace").replace("\r", "\n").splitlines():
                if part.strip():
                    line = line_of_log(part.rstrip(), environment)
                    last_lines.append(line)
                    self.log.log(log_level(line), "%s", line)

    def _end_guard(self, guard: subprocess.Popen[bytes], grace_seconds: float) -> None:
        """Leave no process behind when the log loop was left early (a time limit, an error in here)."""
        if guard.poll() is None:
            guard.terminate()
            try:
                guard.wait(grace_seconds + 10)
            except subprocess.TimeoutExpired:
                guard.kill()
                guard.wait()
        for pipe in (guard.stdin, guard.stdout):
            if pipe is not None:
                pipe.close()

    def _describe_assets(self, context: Context) -> None:
        for outlet in self.outlets:
            if isinstance(outlet, Asset) and self.asset_extra:
                context["outlet_events"][outlet].extra = dict(self.asset_extra)


def op_task(
    function: Callable[..., Any],
    *,
    run_dir: Any,
    outlets: Sequence[Asset] = (),
    asset_extra: Mapping[str, Any] | None = None,
    object_store: bool = False,
    pool: str | None = None,
    execution_timeout: timedelta | None = None,
    only_if: Any = True,
    pod: Any = None,
    trigger_rule: str | None = None,
    **arguments: Any,
) -> Task:
    """A task that runs the command of a task function, as a child process or, where the deployment says so, in a pod.

    Args:
        function: A task function of a library, e.g. `gematria_ops.tasks.train_model`.
        run_dir: Folder of the run: the result file is `<run_dir>/results/<function>.json`. Also passed to the
            function when it has an argument of this name.
        outlets: Assets that the task updates.
        asset_extra: What the asset events say; templates and XComs are allowed.
        object_store: Give the command the endpoint and the credentials of the object store, in its environment.
        pool: Airflow pool that limits how many such tasks run at once.
        execution_timeout: Longest time the task may take.
        only_if: Skip the task unless this is true; templates and XComs are allowed.
        pod: What this run asks of the task's pod (`ops_common.pod_request`), an XCom; for no child process.
        trigger_rule: When the task runs, of Airflow's rules; by default when all before it have succeeded.
        **arguments: The function's own arguments; templates and XComs are allowed.

    Returns:
        The operator; its `output` is the dict that the function returns.

    Raises:
        ConfigError: An argument does not fit the function's signature, or the deployment's settings are wrong.
    """
    config = settings.load()
    values = complete_arguments(function, run_dir, arguments)
    common: dict[str, Any] = {
        **shared_fields(function, config),
        "run_dir": run_dir,
        "object_store": object_store,
        "asset_extra": asset_extra,
        "only_if": only_if,
        "outlets": list(outlets),
        "execution_timeout": execution_timeout,
        "multiple_outputs": True,  # so that `output["url"]` of a task can be another one's argument
        **({"pool": pool} if pool else {}),
        **({"trigger_rule": trigger_rule} if trigger_rule else {}),
    }
    if config.mode == "pod" and function.__name__ in config.pods.tasks:
        from ops_platform.pods import PodTask  # loading a client of Kubernetes takes seconds at every parse

        return PodTask(task_arguments=values, pod_request=pod, **common)
    return OpTask(arguments=values, **common)


def shared_fields(function: Callable[..., Any], config: settings.Settings) -> dict[str, Any]:
    """What every task of a task function is made with, wherever and however often it runs."""
    policy = FaultPolicy(retries=config.retries, service_retries=config.service_retries)
    return {
        "task_id": function.__name__,
        "doc_md": function.__doc__,
        "library": function.__module__.partition(".")[0],
        "function": function,
        "retries": policy.most_retries,
        "retry_policy": policy,
        "retry_delay": timedelta(seconds=config.retry_delay_seconds),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=15),
    }


def complete_arguments(function: Callable[..., Any], run_dir: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The function's arguments, checked, with the run's folder when it takes it."""
    takes_run_dir = "run_dir" in check_arguments(function, {**arguments, "run_dir": run_dir}, optional=("run_dir",))
    return {**arguments, **({"run_dir": run_dir} if takes_run_dir else {})}


def result_of(task: Task) -> Any:
    """What a task returns, as an XCom of which a key may be taken; the SDK's types do not say so."""
    return task.output
