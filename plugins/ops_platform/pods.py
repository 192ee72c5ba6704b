"""`PodTask`: the command of a task function in a pod. Made by `op_task` where the deployment says so.

The same command with the same arguments, the same result file and the same XCom as in a child process of the worker;
only where it runs differs. The folders that it works on are on a volume that workers and pods share, or come and go
through S3 (`ops_common.exchange`). The pod is found again by its labels when a worker or scheduler was restarted, is
deleted when the task ends, and a task that is killed ends its pod.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Never

from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import generic_api_retry
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.utils.pod_manager import PodManager
from airflow.providers.cncf.kubernetes.utils.xcom_sidecar import PodDefaults
from airflow.sdk import Asset
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from airflow.triggers.base import BaseTrigger
from kubernetes.client import V1Pod
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

from ops_common.artifacts import make_folder
from ops_common.config import build_config
from ops_common.errors import OpsError
from ops_common.pod_request import PodRequest
from ops_platform import settings
from ops_platform.command_line import is_true
from ops_platform.object_store_connection import object_store_environment
from ops_platform.pod_trigger import FIRST_LOOK_SECONDS, PatientPodTrigger
from ops_platform.pod_work import PodWork, plan_work, render_pod
from ops_platform.run_folders import safe_name
from ops_platform.task_logs import log_environment
from ops_platform.task_outcome import ServiceFault, failure, log_level, read_result

_STORE_SECONDS = 120  # of the grace time, for what a stopped command saved to reach the exchange
_LOG_SECONDS = 30  # between two looks at the log of a pod that the triggerer watches
_OPEN_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION")


class PodTask(KubernetesPodOperator):
    """Runs the command of a task function in a pod.

    Args:
        library: The package whose command is run, e.g. `gematria_ops`.
        function: The task function; only its name and signature are used.
        task_arguments: The function's arguments; templates and XComs are allowed.
        run_dir: Run folder in whose `results/` the result file stands; templated.
        object_store: Whether the command is given the object store's endpoint, and its keys by their secret's name.
        asset_extra: What the events of the outlets say; templated.
        only_if: The task is skipped unless this is true; templated.
        pod_request: What this run asks for, as `PodRequest` has it; an XCom, or None.
    """

    template_fields: Sequence[str] = ("task_arguments", "run_dir", "asset_extra", "only_if", "pod_request")
    ui_color = "#e6f0fa"

    def __init__(
        self,
        *,
        library: str,
        function: Callable[..., Any],
        task_arguments: Mapping[str, Any],
        run_dir: Any,
        object_store: bool = False,
        asset_extra: Mapping[str, Any] | None = None,
        only_if: Any = True,
        pod_request: Any = None,
        **kwargs: Any,
    ) -> None:
        config = settings.load()
        pods = config.pods
        super().__init__(
            name=function.__name__.replace("_", "-"),
            kubernetes_conn_id=pods.connection_id or None,
            config_file=pods.kube_config or None,
            do_xcom_push=True,
            deferrable=pods.deferrable,
            poll_interval=pods.check_seconds,
            logging_interval=_LOG_SECONDS if pods.deferrable else None,
            startup_check_interval_seconds=math.ceil(pods.check_seconds),  # the API takes whole seconds
            schedule_timeout_seconds=math.ceil(pods.schedule_seconds),
            startup_timeout_seconds=math.ceil(pods.start_seconds),
            active_deadline_seconds=math.ceil(pods.max_seconds),
            on_finish_action="delete_succeeded_pod" if pods.keep_failed else "delete_pod",
            termination_grace_period=math.ceil(config.stop_grace_seconds) + (_STORE_SECONDS if pods.exchange else 0),
            termination_message_policy="FallbackToLogsOnError",
            container_name_log_prefix_enabled=False,
            log_pod_spec_on_failure=False,
            log_events_on_failure=True,
            **kwargs,
        )
        self.library = library
        self.function = function
        self.task_arguments = dict(task_arguments)
        self.run_dir = run_dir
        self.object_store = object_store
        self.asset_extra = dict(asset_extra or {})
        self.only_if = only_if
        self.pod_request = pod_request
        self.files_name = self.task_id
        """Names the files of the task in `results/`."""
        self._config: settings.Settings | None = None
        self._work: PodWork | None = None
        self._result: dict[str, Any] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the command in a pod, or attach to the pod that an earlier attempt left running."""
        if not is_true(self.only_if):
            raise AirflowSkipException(f"{self.task_id} was not asked for")
        self._plan(context)
        try:
            result = super().execute(context)
        except ApiException as error:
            raise _api_failure(self.task_id, error) from None
        # A pod that had ended already is not waited for, and the operator drops what it found there.
        return self._result if self._result is not None else self._finished(context, result)

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on where the triggerer saw the pod end."""
        self._plan(context)
        try:
            result = super().trigger_reentry(context, event)
        except ApiException as error:
            raise _api_failure(self.task_id, error) from None
        self._result = self._finished(context, result)
        return self._result

    def defer(
        self,
        *,
        trigger: BaseTrigger,
        method_name: str,
        kwargs: dict[str, Any] | None = None,
        timeout: timedelta | float | None = None,
    ) -> Never:
        """Hand the pod to the triggerer, which waits a little before its first look."""
        patient = PatientPodTrigger(first_look_seconds=FIRST_LOOK_SECONDS, **trigger.serialize()[1])
        super().defer(trigger=patient, method_name=method_name, kwargs=kwargs, timeout=timeout)

    def convert_config_file_to_dict(self) -> None:
        """Read the kubeconfig for the triggerer, unless a connection says it all: both at once are refused there."""
        if not self.kubernetes_conn_id:
            super().convert_config_file_to_dict()  # type: ignore[no-untyped-call]

    def build_pod_request_obj(self, context: Context | None = None, *, dry_run: bool = False) -> V1Pod:
        """The pod; its sidecar from an image that the cluster has, and ending on SIGTERM, not after the grace time."""
        pod = super().build_pod_request_obj(context, dry_run=dry_run)
        pods, (base, *others) = settings.load().pods, pod.spec.containers
        for container in others:
            if container.name == PodDefaults.SIDECAR_CONTAINER_NAME:
                container.image = pods.sidecar_image or base.image
                container.image_pull_policy = pods.image_policy
                container.command = ["sh", "-c", PodDefaults.XCOM_CMD.replace(" INT;", " INT TERM;")]
        return pod

    def get_or_create_pod(self, pod_request_obj: V1Pod, context: Context) -> V1Pod:
        """Attach to the task's pod or make one, after one that is on its way out has gone."""
        selector = self._build_find_pod_label_selector(context)
        limit = time.monotonic() + (self.termination_grace_period or 0) + 60
        namespace, is_announced = pod_request_obj.metadata.namespace, False
        while leaving := self._leaving_pod(namespace, selector):
            if not is_announced:
                self.log.info("waiting until the pod before this one has ended: %s", leaving)
                is_announced = True
            if time.monotonic() > limit:
                raise AirflowException(f"pod {leaving} does not end; it can be retried when its node is back")
            time.sleep(self.startup_check_interval_seconds)
        return super().get_or_create_pod(pod_request_obj, context)

    @generic_api_retry  # type: ignore[untyped-decorator]
    def _leaving_pod(self, namespace: str, selector: str) -> str:
        """Name of a pod of this task that was deleted and has not ended yet; empty: there is none."""
        pods = self.client.list_namespaced_pod(namespace, label_selector=selector).items
        return next((pod.metadata.name for pod in pods if pod.metadata.deletion_timestamp), "")

    def await_pod_completion(self, pod: V1Pod) -> None:  # type: ignore[override]  # theirs is wrapped
        """Follow the log until the command has ended; where no log can be had, wait without it."""
        try:
            super().await_pod_completion(pod)
        except ApiException as error:
            self.log.warning("the log of pod %s cannot be read: %s %s", pod.metadata.name, error.status, error.reason)
            self.pod_manager.await_container_completion(pod=pod, container_name=self.base_container_name)

    def extract_xcom(self, pod: V1Pod, *, ignore_kill_failure: bool = True) -> dict[Any, Any] | None:
        """What the sidecar hands over; None when it cannot be asked, since the result file says the same."""
        try:
            return super().extract_xcom(pod, ignore_kill_failure=ignore_kill_failure)
        except (ApiException, AirflowException, ValueError, AttributeError) as error:
            # AttributeError is what the client makes of a refused handshake.
            self.log.warning("the sidecar did not hand the result over, its file is read instead: %s", error)
            return None

    @cached_property
    def pod_manager(self) -> PodManager:
        """Talks to the cluster; before it makes a pod, the folders are made ready."""
        return _Launcher(kube_client=self.client, callbacks=self.callbacks, before=self._prepare)

    def cleanup(
        self, pod: V1Pod, remote_pod: V1Pod, xcom_result: dict[str, Any] | None = None, context: Context | None = None
    ) -> None:
        """Bring what a failed command left, then say what its end means; a pod that still runs is ended."""
        under_way = sys.exception()
        try:
            super().cleanup(pod, remote_pod, xcom_result, context)
        except AirflowSkipException:
            raise
        except AirflowException as error:
            ended = _end_of(remote_pod, self.base_container_name)
            if ended is None:
                self.pod_manager.delete_pod(remote_pod)  # kept pods are failed ones, not those that nobody waits for
                if under_way is not None:
                    return  # it says what happened better than that the pod has no end
                raise AirflowException(_with_reason(str(error), remote_pod)) from None
            self._bring_back(is_best_effort=True)
            remark = "out of memory" if ended.reason == "OOMKilled" else ""
            raise failure(self.task_id, ended.exit_code, (ended.message or "").splitlines()[-12:], remark) from None

    def _plan(self, context: Context) -> None:
        ti, arguments = context["ti"], self.task_arguments
        parts = [ti.dag_id, safe_name(context["run_id"]), self.task_id]
        parts += [str(ti.map_index)] if ti.map_index is not None and ti.map_index >= 0 else []
        try:
            config = self._config = settings.load()
            run_dir = Path(str(self.run_dir)).absolute()
            self._work = plan_work(
                self.library,
                self.function,
                arguments,
                run_dir=run_dir,
                files_name=self.files_name,
                exchange_name="/".join(parts),
                config=config,
            )
            needs_store = self.object_store or bool(self._work.folders)
            self.pod_template_dict = render_pod(
                self._work,
                library=self.library,
                function=self.function.__name__,
                request=build_config(PodRequest, self.pod_request or {}, where="pod"),
                environment={
                    **(self._store_environment(config) if needs_store else {}),
                    **log_environment(config, context),
                },
                needs_secret=needs_store,
                pods=config.pods,
            )
        except OpsError as error:
            raise AirflowFailException(str(error)) from None

    def _store_environment(self, config: settings.Settings) -> dict[str, str]:
        known = object_store_environment(config.s3_connection_id)
        endpoint = {"AWS_ENDPOINT_URL": config.pods.endpoint} if config.pods.endpoint else {}
        return {**{name: known[name] for name in _OPEN_VARIABLES if name in known}, **endpoint}

    def _prepare(self, pod: V1Pod) -> None:
        """Make the folders ready for a new pod, which does not exist yet."""
        work, _ = self._planned()
        self.pod = pod  # so that a kill from here on deletes it
        make_folder(work.result_file.parent)
        work.result_file.unlink(missing_ok=True)  # an earlier attempt's answer is not this attempt's answer
        for source, copy in work.inputs.items():
            make_folder(copy.parent)
            shutil.copyfile(source, copy)
        if work.folders:
            self._exchange("send")
        self.log.info("command: %s", " ".join(work.command))

    def _bring_back(self, *, is_best_effort: bool = False) -> None:
        if self._planned()[0].folders:
            try:
                self._exchange("fetch")
            except AirflowException as error:
                if not is_best_effort:
                    raise
                self.log.warning("what the pod left was not brought back: %s", error)

    def _exchange(self, verb: str) -> None:
        """Run the worker's side of the exchange; in a process of its own, which alone is given the keys."""
        work, config = self._planned()
        command = [config.python, "-m", "ops_common.pod_exchange", verb, f"--exchange={config.pods.exchange}"]
        command += [f"--name={work.exchange_name}", f"--fetched={work.fetched_file}"]
        command += [f"--folder={name}={path}" for name, path in work.folders.items()]
        environment = settings.child_environment(config, object_store_environment(config.s3_connection_id))
        finished = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", check=False,
        )  # fmt: skip
        lines = finished.stdout.splitlines()
        for line in lines:
            self.log.log(log_level(line), "%s", line)
        if finished.returncode != 0:
            raise failure(f"{self.task_id} (exchange)", finished.returncode, lines[-12:])

    def _finished(self, context: Context, result: Any) -> dict[str, Any]:
        """The command's result, after everything that it made is here."""
        work, _ = self._planned()
        self._bring_back()
        # Without an answer the pod was gone before its sidecar could be asked.
        answer: dict[str, Any] = result if isinstance(result, dict) else read_result(self.task_id, work.result_file)
        for name, value in answer.items():
            self.log.info("result: %s = %s", name, value)
        for outlet in self.outlets:
            if isinstance(outlet, Asset) and self.asset_extra:
                context["outlet_events"][outlet].extra = dict(self.asset_extra)
        return answer

    def _planned(self) -> tuple[PodWork, settings.Settings]:
        assert self._work is not None and self._config is not None  # `_plan` comes first
        return self._work, self._config


class _Launcher(PodManager):
    """Makes a pod once, also when the answer to the request for it was lost; ends sidecars in images without `pgrep`.

    Args:
        before: Is told of a pod just before it is made for the first time.
        **kwargs: As `PodManager` takes them.
    """

    def __init__(self, *, before: Callable[[V1Pod], None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._before, self._prepared = before, set[str]()

    def run_pod_async(self, pod: V1Pod, **kwargs: Any) -> V1Pod:
        """Ask for the pod. Its name is unique, so one of this name is what a request before this one has made."""
        if pod.metadata.name not in self._prepared:
            self._before(pod)
            self._prepared.add(pod.metadata.name)
        try:
            return super().run_pod_async(pod, **kwargs)
        except ApiException as error:
            if error.status != 409:
                raise
            return self.read_pod(pod)

    @generic_api_retry  # type: ignore[untyped-decorator]
    def extract_xcom_kill(self, pod: V1Pod) -> None:
        """End the sidecar: its shell is process 1 of its container."""
        answer = stream(
            self._client.connect_get_namespaced_pod_exec,
            pod.metadata.name,
            pod.metadata.namespace,
            container=PodDefaults.SIDECAR_CONTAINER_NAME,
            command=["sh", "-c", "kill -INT 1"],
            stdin=False,
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
        )
        with closing(answer):
            answer.run_forever()


def _end_of(pod: V1Pod, container: str) -> Any:
    """How a container of a pod ended; None when it has not, or never ran."""
    statuses: Collection[Any] = (pod.status.container_statuses if pod and pod.status else None) or ()
    found = next((status for status in statuses if status.name == container), None)
    return found.state.terminated if found is not None and found.state else None


def _with_reason(text: str, pod: V1Pod) -> str:
    reason, message = (pod.status.reason, pod.status.message) if pod.status else (None, None)
    known = ": ".join(part for part in (reason, message) if part)
    return f"{text} {known}".rstrip()


def _api_failure(task: str, error: ApiException) -> AirflowException:
    body = str(error.body or "").strip()[:500]
    return ServiceFault(f"{task}: the cluster answered {error.status} {error.reason}; it can be retried. {body}")
