"""The folder that files are brought to: what is half stands out of sight, what is seen is whole and was verified.

<local dir>/000000500-500-1.samples, .idx     verified; the index is put there last and taken away first
           /.sync/state.db                    what is known (`state.py`)
           /.sync/lock                        held by the one syncer of the folder
           /.sync/partial/<host>/             what is being copied from a host
"""

from __future__ import annotations

import logging
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from fastnode_ops.remote.ssh import PARTIAL_DIR
from fastnode_ops.sample_files.names import SampleFileName, parse_name
from fastnode_ops.sample_files.reading import check_sample_file, finished_files, read_index
from fastnode_ops.sync.state import SyncState
from ops_common.artifacts import make_folder, sync_to_disk
from ops_common.errors import ArtifactError, DataError
from ops_common.processes import exclusive_lock

STATE_FOLDER = ".sync"

logger = logging.getLogger(__name__)


def state_path_in(folder: Path) -> Path:
    """The file of the state of a folder; nobody may have worked there yet."""
    return folder / STATE_FOLDER / "state.db"


@dataclass(frozen=True, slots=True)
class Arrived:
    """A verified file.

    Args:
        sha256: Its digest.
        num_bytes: What it takes, with its index.
    """

    sha256: str
    num_bytes: int


class SyncFolder:
    """The folder.

    Args:
        path: Where it is; made when it is missing.
        metainfo_digest: The metainfo that every file must be of; empty: any.

    Raises:
        ArtifactError: It cannot be made.
    """

    def __init__(self, path: Path, metainfo_digest: str = "") -> None:
        self.path = path
        self.metainfo_digest = metainfo_digest
        self._own = path / STATE_FOLDER
        make_folder(self._own / "partial")

    @property
    def state_path(self) -> Path:
        """The file of the state."""
        return state_path_in(self.path)

    def locked(self) -> AbstractContextManager[None]:
        """Keep every other syncer out of the folder.

        Raises:
            ConfigError: On entering: there is another one.
        """
        return exclusive_lock(self._own / "lock", f"a syncer works in {self.path} already")

    def partial(self, host: str) -> Path:
        """The folder for what is being copied from a host."""
        folder = self._own / "partial" / quote(host, safe="")
        make_folder(folder)
        return folder

    def place(self, host: str, name: SampleFileName) -> Arrived:
        """Verify a file that was copied, and put it where readers look.

        Raises:
            ArtifactError: It is not whole, or damaged.
            DataError: It is whole, but of another metainfo.
        """
        partial = self.partial(host)
        arrived = self.verify(partial / name.file_name)
        for part in (name.file_name, name.index_name):
            sync_to_disk(partial / part)
        (partial / name.file_name).replace(self.path / name.file_name)
        (partial / name.index_name).replace(self.path / name.index_name)
        sync_to_disk(self.path)
        return arrived

    def verify(self, path: Path) -> Arrived:
        """Check a file byte for byte; errors as of `place`."""
        if path.is_symlink() or path.with_suffix(".idx").is_symlink():
            raise ArtifactError(f"{path} is a link, not a file")
        check_sample_file(path, metainfo_digest=self.metainfo_digest)
        return self._size(path)

    def remove(self, name: SampleFileName) -> None:
        """Delete a file that was used."""
        (self.path / name.index_name).unlink(missing_ok=True)
        (self.path / name.file_name).unlink(missing_ok=True)

    def forget(self, host: str, name: SampleFileName) -> None:
        """Delete what has come of a file from a host."""
        for part in (name.file_name, name.index_name):
            (self.partial(host) / part).unlink(missing_ok=True)
            (self.partial(host) / PARTIAL_DIR / part).unlink(missing_ok=True)

    def forget_everywhere(self, name: SampleFileName) -> None:
        """Delete what has come of a file from whatever host, because it stands in the folder."""
        for folder in (self._own / "partial").iterdir():
            (folder / name.file_name).unlink(missing_ok=True)
            (folder / PARTIAL_DIR / name.file_name).unlink(missing_ok=True)

    def make_room(self, host: str) -> None:
        """Delete all that is half from a host; it is copied anew."""
        shutil.rmtree(self.partial(host), ignore_errors=True)

    def recover(self, state: SyncState) -> None:
        """Make the folder and the state agree, after a process that ended at any point."""
        self._keep_what_rsync_had()
        finished = set(finished_files(self.path))
        for name in map(parse_name, state.at("leaving")):
            self.remove(name)
            state.left(name.file_name)
            finished.discard(name)
        for name in map(parse_name, state.at("local")):
            if name not in finished:
                logger.warning("%s has vanished; it is copied again if it is needed", self.path / name.file_name)
                self.remove(name)
                state.left(name.file_name)
            finished.discard(name)
        copying = set(map(parse_name, state.at("copying")))
        for name in sorted(finished):
            self._take_up(state, name)
        for name in sorted(copying - finished):
            self._take_back(name)
        for text in state.at("copying"):
            state.failed("", text)

    def _keep_what_rsync_had(self) -> None:
        """An rsync that was killed leaves `.<name>.<six letters>`; in its folder for halves it goes on with that."""
        for path in (self._own / "partial").glob("*/.*.samples.??????"):
            kept = path.parent / PARTIAL_DIR / path.name[1:-7]
            make_folder(kept.parent)
            if kept.exists() and kept.stat().st_size >= path.stat().st_size:
                path.unlink()
            else:
                path.replace(kept)

    def _take_up(self, state: SyncState, name: SampleFileName) -> None:
        """A finished file stands here that the state does not know of: the process ended in between, or a person."""
        path = self.path / name.file_name
        try:
            arrived = self.verify(path)
        except DataError as error:
            logger.warning("%s is not used: %s", path, error.message)
            return
        if state.digest(path.name) not in ("", arrived.sha256):
            logger.warning("%s is not used: its bytes are others than before", path)
            return
        state.adopt(name, arrived.sha256, arrived.num_bytes)

    def _take_back(self, name: SampleFileName) -> None:
        """The process ended between the two renames."""
        path = self.path / name.file_name
        for folder in (self._own / "partial").iterdir():
            if path.exists() and (folder / name.index_name).exists() and not (folder / name.file_name).exists():
                path.replace(folder / name.file_name)

    @staticmethod
    def _size(path: Path) -> Arrived:
        index_path = path.with_suffix(".idx")
        return Arrived(read_index(path).sha256, path.stat().st_size + index_path.stat().st_size)
