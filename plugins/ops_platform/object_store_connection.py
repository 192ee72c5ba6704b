"""From an Airflow connection to the environment variables that S3 clients read."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from ops_common.errors import ConfigError

_KINDS = ("aws", "s3", "generic", "http")


def object_store_environment(connection_id: str) -> dict[str, str]:
    """The variables that point an S3 client at the object store of a connection.

    The connection has the access key as login and the secret key as password; its extra may say `endpoint_url`,
    `region_name` and `aws_session_token`. Without a login the client finds its credentials by itself, for example in
    the role of the machine. The values go into a child's environment only: never into arguments, logs or XComs.

    Args:
        connection_id: Id of the Airflow connection.

    Returns:
        `AWS_*` variables.

    Raises:
        ConfigError: There is no such connection, or it cannot be one for S3.
    """
    try:
        connection = BaseHook.get_connection(connection_id)
    except AirflowNotFoundException:
        raise ConfigError(
            f"there is no Airflow connection {connection_id!r}",
            f"add one of type aws (page Admin, Connections), or set AIRFLOW_CONN_{connection_id.upper()}",
        ) from None
    if connection.conn_type not in _KINDS:
        raise ConfigError(
            f"Airflow connection {connection_id!r} is of type {connection.conn_type!r}",
            f"it must be one of {', '.join(_KINDS)}, with the endpoint as endpoint_url in its extra",
        )
    extra: dict[str, Any] = connection.extra_dejson
    values = {
        "AWS_ACCESS_KEY_ID": connection.login,
        "AWS_SECRET_ACCESS_KEY": connection.password,
        "AWS_SESSION_TOKEN": extra.get("aws_session_token"),
        "AWS_ENDPOINT_URL": extra.get("endpoint_url"),
        "AWS_DEFAULT_REGION": extra.get("region_name") or "us-east-1",
    }
    return {name: str(value) for name, value in values.items() if value}
