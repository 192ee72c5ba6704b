"""What is removed from a block before it is measured."""

import pytest

from gematria_ops.data.risky_instructions import BBProcessorFilter
from ops_common.errors import DataError

MOVE = "B801000000"


@pytest.fixture(scope="module")
def block_filter():
    return BBProcessorFilter()


@pytest.mark.parametrize(
    "risky",
    [
        "CD80",
        "0F05",
        "0F07",
        "480F07",
        "0F34",
        "0F35",
        "480F35",
        "C3",
        "C20800",
        "CB",
        "CF",
        "E800000000",
        "FFD0",
        "EB00",
        "7400",
        "FF20",
        "E2FE",
    ],
)
def test_instructions_that_leave_the_block(block_filter, risky):
    assert block_filter.remove_risky_instructions(MOVE + risky + MOVE, "b.txt", False) == MOVE + MOVE
    assert block_filter.remove_risky_instructions(risky, "b.txt") == ""


@pytest.mark.parametrize("access", ["8B03", "8903", "0103", "50", "58", "A4", "F348AB", "FF30", "0FAEF0", "0FC77E08"])
def test_memory_accesses_go_only_when_asked(block_filter, access):
    block = MOVE + access + MOVE
    assert block_filter.remove_risky_instructions(block, "b.txt", False) == block
    assert block_filter.remove_risky_instructions(block, "b.txt", True) == MOVE + MOVE


def test_a_prefix_goes_with_its_instruction(block_filter):
    """LLVM decodes `lock add` as two instructions; what follows must not become locked."""
    assert block_filter.remove_risky_instructions("F0010331C0", "b.txt", True) == "31C0"
    assert block_filter.remove_risky_instructions("f0010331c0", "b.txt", False) == "F0010331C0"
    assert block_filter.remove_risky_instructions("31C0F0", "b.txt", True) == "31C0F0"


def test_the_empty_block(block_filter):
    assert block_filter.remove_risky_instructions("", "b.txt", True) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zz", "b.txt: 'zz' is not a block in hexadecimal digits"),
        ("B80", "b.txt: 'B80' is not a block in hexadecimal digits"),
        ("90 90", "b.txt: '90 90' is not a block in hexadecimal digits"),
        ("९०", "b.txt: '९०' is not a block in hexadecimal digits"),
        ("90B801", "b.txt: truncated machine code at byte 1 of 3: the code ends within the instruction (b801)"),
        ("9006", "b.txt: undecodable machine code at byte 1 of 2: there is no such instruction (06)"),
    ],
)
def test_bad_blocks(block_filter, text, message):
    with pytest.raises(DataError) as caught:
        block_filter.remove_risky_instructions(text, "b.txt")
    assert caught.value.message == message
