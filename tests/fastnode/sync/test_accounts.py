"""What the state of a syncer says to who reads it beside it."""

from pathlib import Path

import pytest

from fastnode_ops.sync.accounts import SyncAccounts, read_accounts
from ops_common.errors import ArtifactError
from tests.fastnode.sync.files import file_name, make_file
from tests.fastnode.sync.test_copying import world


def test_files_that_were_brought_with_those_that_have_left(tmp_path: Path) -> None:
    for index in range(3):
        make_file(tmp_path / "a", index)
    make_file(tmp_path / "b", 1)
    with world(tmp_path) as one:
        one.round()
        one.use(0)
        while_it_works = read_accounts(one.folder.state_path)
    assert read_accounts(tmp_path / "local/.sync/state.db") == while_it_works
    found = {file.name.file_name: (file.host, file.is_marked) for file in while_it_works.brought}
    host = str(tmp_path / "a")
    assert found == {file_name(0): (host, True), file_name(1): (host, False), file_name(2): (host, False)}
    copies = {name.file_name: hosts for name, hosts in while_it_works.copies.items()}
    assert copies == {file_name(0): [host], file_name(1): [host, str(tmp_path / "b")], file_name(2): [host]}


def test_no_state_and_one_that_is_none(tmp_path: Path) -> None:
    assert read_accounts(tmp_path / "state.db") == SyncAccounts([], {})
    (tmp_path / "state.db").write_bytes(b"something else, long enough for SQLite to look at it" * 20)
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_accounts(tmp_path / "state.db")
