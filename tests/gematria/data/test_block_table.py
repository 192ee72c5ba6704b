"""The table on disk: first appearance decides the order, one label per source, statistics as by hand."""

import pytest

from gematria_ops.data.block_table import Block, BlockTable, Label
from ops_common.errors import ServiceError


@pytest.fixture
def table():
    with BlockTable(num_sources=2) as table:
        yield table


def test_blocks_come_in_order_of_first_appearance(table):
    assert table.add(b"b", Label(0, 1.0, 1)) is None
    assert table.add(b"a", Label(0, 2.0, 2)) is None
    assert table.add(b"c", Label(1, 3.0, 1)) is None
    assert table.add(b"b", Label(1, 4.0, 2)) is None
    assert list(table.blocks()) == [
        Block(b"b", (Label(0, 1.0, 1), Label(1, 4.0, 2))),
        Block(b"a", (Label(0, 2.0, 2),)),
        Block(b"c", (Label(1, 3.0, 1),)),
    ]
    assert table.num_blocks() == 3


def test_the_first_label_of_a_source_stays(table):
    table.add(b"a", Label(0, 1.0, 1))
    table.add(b"a", Label(1, 5.0, 1))
    assert table.add(b"a", Label(0, 2.0, 7)) == Label(0, 1.0, 1)
    assert table.add(b"a", Label(1, 5.0, 8)) == Label(1, 5.0, 1)
    assert list(table.blocks()) == [Block(b"a", (Label(0, 1.0, 1), Label(1, 5.0, 1)))]


def test_rejected_blocks_are_left_out_of_the_statistics_and_still_found(table):
    for number in range(1000):
        table.add(number.to_bytes(2, "big"), Label(0, float(number), number))
    # Rejected while they are read, as an import does.
    for block in table.blocks():
        if block.labels[0].cycles_per_iteration >= 10:
            table.reject(block.machine_code)
    assert table.num_blocks() == 1000
    statistics = table.statistics(0)
    assert (statistics.num_labels, statistics.maximum, statistics.percentiles["99"]) == (10, 9.0, 9.0)
    assert table.add((999).to_bytes(2, "big"), Label(0, 1.0, 5000)) == Label(0, 999.0, 999)


def test_statistics(table):
    for number in range(1, 201):
        table.add(number.to_bytes(2, "big"), Label(0, number / 2, number))
    table.add(b"other", Label(1, 7.0, 1))
    statistics = table.statistics(0)
    assert (statistics.num_labels, statistics.mean) == (200, 50.25)
    assert (statistics.minimum, statistics.maximum) == (0.5, 100.0)
    assert statistics.percentiles == {
        "1": 1.0, "5": 5.0, "25": 25.0, "50": 50.0, "75": 75.0, "95": 95.0, "99": 99.0
    }  # fmt: skip
    assert set(table.statistics(1).percentiles.values()) == {7.0}


def test_statistics_of_nothing(table):
    assert table.statistics(0).num_labels == 0
    assert table.statistics(0).percentiles == {}


def test_trouble_with_the_disk_is_named(table):
    table.add(b"a", Label(0, 1.0, 1))
    # What a full disk looks like to the table: no page may be added any more.
    table._connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(ServiceError, match=r"temporary table .* full") as caught:
        for number in range(10_000):
            table.add(number.to_bytes(2, "big"), Label(0, 1.0, 1))
    assert "TMPDIR" in caught.value.hint
