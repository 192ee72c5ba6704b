"""The accounts of a distributed training, part of `tasks.py`."""

from __future__ import annotations

import sys
from pathlib import Path

from fastnode_ops.datagen_remote_tasks import place_of
from fastnode_ops.pipeline_dir import PipelineDir
from ops_common.errors import DataError

Result = dict[str, str | int | float | bool | list[str]]


def account_samples(
    *,
    work_dir: str,
    data_dir: str,
    data_steps: int,
    hosts: list[str] | None = None,
    remote_dir: str = "/data/datagen",
    dataset: str = "samples",
    samples_per_file: int = 500,
    remote_python: str = "",
    ssh_key: str = "",
    ssh_known_hosts: str = "",
    ssh_config: str = "",
) -> Result:
    """Show where every sample is: made, synced, used, left, lost; an error when one is lost or was used twice.

    Args:
        work_dir: The pipeline's folder, with what the training has written down.
        data_dir: Our folder that the files are brought to.
        data_steps: Training batches that are to be made, all hosts together.
        hosts: Hosts as `[user@]name[:port]`, several with spaces between them; none: only this machine is looked at.
        remote_dir: Our folder on every host.
        dataset: Name of the samples' folder there.
        samples_per_file: Training batches in a sample file.
        remote_python: Interpreter on the hosts. Empty: `python3`.
        ssh_key: Private key to log in with. Empty: as the ssh configuration says.
        ssh_known_hosts: File with the keys of the hosts. Empty: as the ssh configuration says.
        ssh_config: Configuration of ssh. Empty: the user's own.
    """
    from fastnode_ops.accounting.balance import balance
    from fastnode_ops.accounting.gathering import gather
    from fastnode_ops.accounting.table import print_accounts
    from fastnode_ops.remote.hosts import parse_hosts

    sources = gather(
        parse_hosts(hosts) if hosts and any(hosts) else [],
        place_of(remote_dir, dataset, remote_python, ssh_key, ssh_known_hosts, ssh_config),
        data_dir=Path(data_dir),
        record_path=PipelineDir(Path(work_dir)).samples_read,
        data_steps=data_steps,
        samples_per_file=samples_per_file,
    )
    accounts = balance(sources)
    print_accounts(accounts, sources.hosts, sys.stderr)
    if accounts.troubles:
        raise DataError(f"the accounts are not in order: {accounts.troubles[0]}", "docs/operating.md, section Accounts")
    return {
        "num_planned": accounts.planned.num_samples,
        "num_made": accounts.made.num_samples,
        "num_synced": accounts.synced.num_samples,
        "num_used": accounts.used.num_samples,
        "num_left": accounts.left.num_samples,
        "num_waiting": accounts.waiting.num_samples,
        "num_not_made": accounts.not_made.num_samples,
        "num_lost": accounts.lost.num_samples,
        "num_duplicated": accounts.num_duplicated,
        "num_made_twice": accounts.made_twice.num_samples,
        "num_used_again": accounts.used_again,
        "num_updates_from_elsewhere": accounts.num_elsewhere,
    }
