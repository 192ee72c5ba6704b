"""The syncer of a run: started once, found again, and exactly it is stopped; with real sample files of this machine."""

from pathlib import Path

import httpx
import psutil
import pytest

from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.samples.metainfo import MetaInfo
from fastnode_ops.sync_tasks import start_syncer, stop_syncer
from ops_common.errors import ServiceError

pytestmark = pytest.mark.slow


def test_a_syncer_is_started_found_again_and_stopped(metainfo: MetaInfo, tmp_path: Path) -> None:
    work_dir, remote = tmp_path / "run", tmp_path / "remote"
    remote.mkdir()
    metainfo.write(PipelineDir(work_dir).metainfo)
    place = {"work_dir": str(work_dir), "hosts": [str(remote)], "data_dir": str(work_dir / "data")}
    try:
        started = start_syncer(**place)
        assert start_syncer(**place) == started
        state = httpx.get(f"{started['url']}/state", trust_env=False).json()
        assert [host["name"] for host in state["hosts"]] == [str(remote)]
        assert psutil.Process(int(started["process_id"])).memory_info().rss < 150 * 2**20
        other = start_syncer(**place, max_local_bytes=5e6)  # it was asked for something else
        assert other["process_id"] != started["process_id"]
        assert httpx.get(f"{other['url']}/state", trust_env=False).json()["max_local_bytes"] == 5_000_000
        assert not psutil.pid_exists(int(started["process_id"]))
    finally:
        stopped = stop_syncer(work_dir=str(work_dir))
    assert stopped == {"was_running": True}
    assert stop_syncer(work_dir=str(work_dir)) == {"was_running": False}


def test_a_syncer_that_cannot_start_is_told_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"the syncer of .* ended with status") as caught:
        start_syncer(work_dir=str(tmp_path / "run"), hosts=["/nowhere/at/all"], data_dir=str(tmp_path / "data"))
    assert "metainfo.json" in caught.value.hint
