"""What a finished run of the embedded platform has left: results of its tasks, objects in the local object store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ops_common.errors import ArtifactError, OpsError
from ops_common.rundir import RunDir
from ops_platform import s3_server
from ops_platform.embedded import layout as places
from ops_platform.embedded.layout import Layout
from ops_platform.embedded.lifecycle import Instance


def task_result(folder: RunDir, task: str) -> dict[str, Any]:
    """Return what a finished task of a run returned."""
    path: Path = folder.results_dir / f"{task}.json"
    try:
        result: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from None
    return result


def missing_objects(layout: Layout, instance: Instance, uris: list[str]) -> list[str]:
    """Those of the URIs that the object store does not have; a URI may name an object or a prefix of objects."""
    client = s3_client(layout, instance)
    missing = []
    for uri in uris:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        try:
            found = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("KeyCount", 0)
            if found and not uri.endswith("/") and "." in key.rpartition("/")[2]:
                client.head_object(Bucket=bucket, Key=key)
        except Exception as error:  # whatever the client raises: what cannot be looked up is not there for a person
            found = 0
            uri = f"{uri} ({error})"
        if not found:
            missing.append(uri)
    return missing


def s3_client(layout: Layout, instance: Instance) -> Any:
    """A client of the local object store."""
    import boto3

    keys = places.object_store_variables(layout, instance.ports)
    try:
        return boto3.client(
            "s3",
            endpoint_url=keys["AWS_ENDPOINT_URL"],
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
            region_name=s3_server.REGION,
        )
    except ValueError as error:
        raise OpsError(f"the object store's address is wrong: {error}") from None
