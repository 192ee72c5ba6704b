"""Ask all who know of the samples: the hosts, the syncer's state, our folder, the record of the training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastnode_ops.accounting.balance import HostAccount, Sources
from fastnode_ops.datagen.deploy import Place
from fastnode_ops.datagen.many_hosts import on_each_host
from fastnode_ops.datagen.ranges import ranges, steps_of
from fastnode_ops.datagen.sharing import made_ranges
from fastnode_ops.remote.hosts import Host
from fastnode_ops.remote.ssh import Ssh
from fastnode_ops.remote.this_machine import THIS_MACHINE
from fastnode_ops.sample_files.reading import finished_files
from fastnode_ops.sync.accounts import read_accounts
from fastnode_ops.sync.folder import state_path_in
from fastnode_ops.sync.transport import LocalFolder, SshFolder, Transport
from fastnode_ops.training.reading_record import read_readings


def gather(
    hosts: Sequence[Host], place: Place, *, data_dir: Path, record_path: Path, data_steps: int, samples_per_file: int
) -> Sources:
    """Ask them in the order in which samples travel: what moves meanwhile is seen at its old place or at its new one.

    Args:
        hosts: The hosts that make samples; there may be none.
        place: Where on them.
        data_dir: Our folder that the files are brought to.
        record_path: What the training has written down; it need not exist.
        data_steps: How many steps there are in all.
        samples_per_file: How many go into a file.

    Raises:
        ConfigError: A number is out of its limits.
        ArtifactError: The syncer's state or the training's record cannot be read.
    """
    numbers = ranges(data_steps, samples_per_file)
    told = _ask(hosts, place, data_steps, samples_per_file)
    here = finished_files(data_dir)
    return Sources(
        ranges=[steps_of(number, data_steps, samples_per_file) for number in numbers],
        hosts=told,
        here=here,
        synced=read_accounts(state_path_in(data_dir)),
        readings=read_readings(record_path) if record_path.exists() else None,
    )


def _ask(hosts: Sequence[Host], place: Place, data_steps: int, samples_per_file: int) -> list[HostAccount]:
    with place.connected() as place:

        def ask(host: Host) -> HostAccount:
            told = place.agent(host).call("status", dataset=place.dataset)
            made = made_ranges(told["made"], told["unfinished"], data_steps, samples_per_file)
            listing = _transport(host, place).list()
            return HostAccount(str(host), made, [file.name for file in listing.files])

        done, failed = on_each_host(hosts, ask)
    return [
        done[host] if host in done else HostAccount(str(host), trouble=failed[host].message.partition("\n")[0])
        for host in hosts
    ]


def _transport(host: Host, place: Place) -> Transport:
    folder = f"{place.root}/samples/{place.dataset}"
    return LocalFolder(Path(folder)) if host == THIS_MACHINE else SshFolder(Ssh(host, place.options), folder)
