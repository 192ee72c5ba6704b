"""The whole way with the real generator: three hosts over ssh, one dies, the others take over what it had."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastnode_ops.config import ExpressionConfig, SampleConfig, TrainConfig
from fastnode_ops.datagen.sample_set import SampleSet
from fastnode_ops.datagen_remote_tasks import datagen_status, deploy_datagen, stop_datagen
from fastnode_ops.sample_files.names import SampleFileName
from fastnode_ops.sample_files.reading import check_sample_file, finished_files
from fastnode_ops.samples.metainfo import MetaInfo
from ops_common.errors import ServiceError
from ops_common.processes import wait_until
from tests.network_hosts import NetworkHosts

DATA_STEPS, PER_FILE = 10, 2
CONFIG = ExpressionConfig(samples=SampleConfig(max_samples=8), train=TrainConfig(seed=3))
WAIT_SECONDS = 500.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkHosts]:
    with NetworkHosts(tmp_path_factory.mktemp("hosts"), 3) as made:
        yield made


def _folder(hosts: NetworkHosts, index: int) -> Path:
    return hosts[index].data / "datagen/samples/set"


def test_a_dead_hosts_ranges_are_made_by_the_others(
    hosts: NetworkHosts, corpus_dir: Path, metainfo: MetaInfo, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    metainfo.write(tmp_path / "out/metainfo.json")
    local = tmp_path / "data"
    local.mkdir()
    place: dict[str, Any] = {
        "hosts": [" ".join(hosts.names)],
        "remote_dir": str(hosts.data / "datagen"),
        "dataset": "set",
        "remote_python": sys.executable,
        "ssh_key": str(hosts.user_key),
        "ssh_known_hosts": str(hosts.known_hosts),
    }
    work: dict[str, Any] = {
        "work_dir": str(tmp_path),
        "corpus_dir": str(corpus_dir),
        "data_steps": DATA_STEPS,
        "samples_per_file": PER_FILE,
        "overrides": ["samples.max_samples=8", "train.seed=3"],
        "data_dir": str(local),
        "num_workers": 1,
        "min_free_bytes": 1,
    }
    told = deploy_datagen(**place, **work)
    assert (told["num_started"], told["num_shared_out"]) == (3, 5)
    # the first host's first file is fetched and deleted there, as the syncer does; the third host dies
    wait_until(lambda: bool(finished_files(_folder(hosts, 0))), WAIT_SECONDS, "a file of the first host")
    first = finished_files(_folder(hosts, 0))[0]
    hosts[0].ssh.rsync_from([first.file_name, first.index_name], str(hosts.data / "datagen/samples/set"), local)
    for name in (first.index_name, first.file_name):
        (_folder(hosts, 0) / name).unlink()
    hosts[2].kill()
    with pytest.raises(ServiceError, match=r"1 of 3 hosts failed"):
        deploy_datagen(**place, **work)
    assert datagen_status(**place)["num_hosts"] == 3

    def are_all_done() -> bool:
        return datagen_status(**place)["num_done"] == 2

    wait_until(are_all_done, WAIT_SECONDS, "the end of both", interval_seconds=2.0)
    sample_set = SampleSet(metainfo, CONFIG, DATA_STEPS, PER_FILE)
    folders = [local, _folder(hosts, 0), _folder(hosts, 1)]
    found: list[SampleFileName] = [name for folder in folders for name in finished_files(folder)]
    assert sorted(found) == [sample_set.header(number).name for number in sample_set.numbers]  # each once, none lost
    for folder in folders:
        for name in finished_files(folder):
            header = check_sample_file(folder / name.file_name, metainfo_digest=metainfo.digest)
            assert header.request_digest == sample_set.digests["request_digest"]
    assert stop_datagen(**{**place, "hosts": hosts.names[:2]})["num_processes"] == 0
