from collections.abc import Iterator

import pytest

from tests.fastnode.server.servers import RunningServer, toy_server


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A toy server that all tests share that leave no trace in it."""
    limits = {"session_bytes": 200_000, "body_bytes": 20_000}
    with toy_server(tmp_path_factory.mktemp("server"), num_workers=2, limits=limits) as running:
        yield running
