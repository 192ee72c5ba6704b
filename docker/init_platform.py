"""Makes what the services of docker-compose.yml find when they start: tables, the first login, the pool, buckets.

Run by the service `airflow-init` before the others, at every start; what is there already is left as it is.
"""

from __future__ import annotations

import os
import sys

from ops_platform import settings
from ops_platform.object_store_connection import object_store_environment

from ops_common.errors import OpsError, ServiceError
from ops_common.object_store import parse_s3_uri


def main() -> int:
    """Everything in its order; the exit status is that of the error."""
    try:
        _airflow("db", "migrate")
        _make_login(os.environ["ADMIN_USER"], os.environ["ADMIN_PASSWORD"])
        _make_pool()
        _make_buckets(settings.load())
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _airflow(*arguments: str) -> None:
    """One of Airflow's own commands, in this process: no secret stands in a list of arguments that others can see."""
    from airflow.cli.cli_parser import get_parser

    parsed = get_parser().parse_args(arguments)
    parsed.func(parsed)


def _make_login(user: str, password: str) -> None:
    person = ["--firstname", "Platform", "--lastname", "Admin", "--email", f"{user}@localhost", "--role", "Admin"]
    _airflow("users", "create", "--username", user, "--password", password, *person)


def _make_pool() -> None:
    from airflow.models.pool import Pool

    pool = Pool.get_pool(settings.TRAINING_POOL)
    slots = 1 if pool is None else pool.slots  # an operator may have given it more since
    # A deferred task keeps its slot: its pod trains while the triggerer watches it.
    Pool.create_or_update_pool(settings.TRAINING_POOL, slots, "one training at a time", include_deferred=True)
    if pool is None:
        print(f"made the pool {settings.TRAINING_POOL}")


def _make_buckets(config: settings.Settings) -> None:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    places = (config.destination, config.expression_destination, config.rundb)
    wanted = {parse_s3_uri(place)[0] for place in places if place.startswith("s3://")}
    os.environ.update(object_store_environment(config.s3_connection_id))
    try:
        client = boto3.client("s3")
        for name in sorted(wanted - {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}):
            client.create_bucket(Bucket=name)
            print(f"made the bucket {name}")
    except (BotoCoreError, ClientError) as error:
        raise ServiceError(
            f"the object store of connection {config.s3_connection_id!r} refused: {error}",
            "check S3_ENDPOINT, S3_ACCESS_KEY and S3_SECRET_KEY in .env",
        ) from None


if __name__ == "__main__":
    sys.exit(main())
