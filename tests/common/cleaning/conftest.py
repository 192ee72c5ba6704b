from pathlib import Path

import pytest

from tests.common.cleaning.folders import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
