"""The cluster that pods run in: does it answer, and may we do there what a task needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ops_common.errors import OpsError, ServiceError
from ops_platform.doctor.finding import Finding
from ops_platform.pod_settings import PodSettings

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

NEEDED = (("create", ""), ("get", ""), ("list", ""), ("watch", ""), ("delete", ""), ("get", "log"), ("create", "exec"))
"""What a task does with pods: verb, and part of the pod."""

_REQUEST_SECONDS = 10.0


def check_cluster(pods: PodSettings) -> list[Finding]:
    """Whether pods can be made where the settings say, and what they name is there.

    Args:
        pods: The settings of pods.
    """
    if pods.connection_id:
        text = f"reached through the Airflow connection {pods.connection_id!r}: not asked"
        return [Finding("cluster", "warn", text, "OPS_KUBECONFIG lets this look; or start a small run in a pod")]
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        client = _client(pods.kube_config)
        return [_permissions(client, pods.namespace), *_named_things(client, pods)]
    except ApiException as error:
        hint = "check the user and the token of the kubeconfig" if error.status in (401, 403) else "look at the cluster"
        return [Finding("cluster", "fail", f"answers {error.status} {error.reason}", hint)]
    except HTTPError as error:
        text = f"does not answer: {type(error).__name__}"
        return [
            Finding("cluster", "fail", text, "check the address in the kubeconfig, and that it is reached from here")
        ]
    except OpsError as error:
        return [Finding("cluster", "fail", error.message, error.hint)]


def _client(kube_config: str) -> ApiClient:
    from kubernetes import config
    from kubernetes.client import Configuration
    from kubernetes.client.api_client import ApiClient
    from kubernetes.config.config_exception import ConfigException

    settings = Configuration()
    settings.retries = False
    try:
        if kube_config:
            config.load_kube_config(kube_config, client_configuration=settings)
        else:
            config.load_config(client_configuration=settings)
    except (ConfigException, OSError) as error:
        raise ServiceError(f"no kubeconfig can be used: {error}", "set OPS_KUBECONFIG or KUBECONFIG") from None
    return ApiClient(settings)


def _permissions(client: ApiClient, namespace: str) -> Finding:
    from kubernetes.client import AuthorizationV1Api

    api, refused = AuthorizationV1Api(client), []
    for verb, part in NEEDED:
        asked = {"namespace": namespace, "verb": verb, "resource": "pods", "subresource": part}
        body: dict[str, Any] = {"spec": {"resourceAttributes": asked}}
        answer = api.create_self_subject_access_review(body, _request_timeout=_REQUEST_SECONDS)
        if not answer.status.allowed:
            refused.append(f"{verb} pods{'/' + part if part else ''}")
    if refused:
        hint = "give the service account of Airflow a role with these verbs"
        return Finding("cluster", "fail", f"namespace {namespace}: may not {', '.join(refused)}", hint)
    return Finding("cluster", "ok", f"answers; namespace {namespace}: pods may be made, read, followed and deleted")


def _named_things(client: ApiClient, pods: PodSettings) -> list[Finding]:
    """What the settings name has to exist: the Secret, and claims of volumes. Nothing of a Secret is shown."""
    from kubernetes.client import CoreV1Api

    api, findings = CoreV1Api(client), []
    if pods.secret:
        findings.append(_exists(api.read_namespaced_secret, pods.secret, pods.namespace, "Secret", "OPS_POD_SECRET"))
    for mount in pods.mounts:
        if mount.kind == "pvc":
            read = api.read_namespaced_persistent_volume_claim
            findings.append(_exists(read, mount.source, pods.namespace, "claim", "OPS_POD_VOLUMES"))
    return findings


def _exists(read: Any, name: str, namespace: str, kind: str, variable: str) -> Finding:
    from kubernetes.client.exceptions import ApiException

    try:
        read(name, namespace, _request_timeout=_REQUEST_SECONDS)
    except ApiException as error:
        if error.status == 404:
            return Finding(
                "cluster", "fail", f"there is no {kind} {name} in {namespace}", f"make it, or set {variable}"
            )
        if error.status == 403:
            return Finding("cluster", "warn", f"{kind} {name}: we may not look whether it is there")
        raise
    return Finding("cluster", "ok", f"{kind} {name} is there")
