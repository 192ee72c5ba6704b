"""Annotated blocks as JSON and as assembly, and what may be wrong with such JSON."""

import json

import pytest

from gematria_ops.formats.annotated_blocks import (
    AnnotatedBlock,
    block_problems,
    json_entry,
    read_annotated_json,
)
from ops_common.errors import DataError

BLOCK = AnnotatedBlock("3b31", (("RCX", 86016), ("RSI", 86016)), 4096, 0x800000008, (86016,), "RAX")

ASSEMBLY = """\
# LLVM-EXEGESIS-DEFREG RCX 15000
# LLVM-EXEGESIS-DEFREG RSI 15000
# LLVM-EXEGESIS-MEM-DEF MEM 4096 0000000800000008
# LLVM-EXEGESIS-MEM-MAP MEM 86016
# LLVM-EXEGESIS-LOOP-REGISTER RAX
\tcmpl\t(%rcx), %esi
"""

JSON = """\
  {
    "Hex": "3b31",
    "LoopRegister": "RAX",
    "MemoryDefinitions": [
      {
        "Name": "MEM",
        "Size": 4096,
        "Value": 34359738376
      }
    ],
    "MemoryMappings": [
      {
        "Address": 86016,
        "Value": "MEM"
      }
    ],
    "RegisterDefinitions": [
      {
        "Register": "RCX",
        "Value": 86016
      },
      {
        "Register": "RSI",
        "Value": 86016
      }
    ]
  }"""


def test_the_example_of_the_specification():
    assert BLOCK.to_assembly(["\tcmpl\t(%rcx), %esi"]) == ASSEMBLY
    assert json_entry(BLOCK) == JSON


def test_a_block_that_needs_nothing():
    block = AnnotatedBlock("90")
    assert block.to_assembly(["\tnop"]) == "\tnop\n"
    assert block.to_json() == {
        "Hex": "90",
        "RegisterDefinitions": [],
        "MemoryDefinitions": [],
        "MemoryMappings": [],
    }


@pytest.mark.parametrize("block", [BLOCK, AnnotatedBlock("90"), AnnotatedBlock("")])
def test_what_we_write_has_no_problems(block):
    assert list(block_problems(json.loads(json_entry(block)))) == []


def changed(**fields):
    return {**json.loads(JSON), **fields}


def without(name):
    return {key: value for key, value in json.loads(JSON).items() if key != name}


BAD_BLOCKS = {
    "null": (None, "not_an_object", "it is null, not an object"),
    "array": ([], "not_an_object", "it is an array, not an object"),
    "no hex": (without("Hex"), "missing_hex", "it has no field 'Hex'"),
    "hex": (changed(Hex="3b3"), "bad_hex", "'Hex' is '3b3', not machine code in hexadecimal digits"),
    "hex number": (changed(Hex=90), "bad_hex", "'Hex' is 90, not machine code in hexadecimal digits"),
    "no registers": (
        without("RegisterDefinitions"),
        "missing_register_array",
        "it has no array 'RegisterDefinitions'",
    ),
    "registers": (
        changed(RegisterDefinitions={}),
        "missing_register_array",
        "it has no array 'RegisterDefinitions'",
    ),
    "register": (changed(RegisterDefinitions=[7]), "bad_register", "RegisterDefinitions[0] is 7, not an object"),
    "no register name": (
        changed(RegisterDefinitions=[{"Value": 1}]),
        "missing_register_field",
        "RegisterDefinitions[0] has no field 'Register'",
    ),
    "no register value": (
        changed(RegisterDefinitions=[{"Register": "RAX", "Value": 1}, {"Register": "RBX"}]),
        "missing_register_field",
        "RegisterDefinitions[1] has no field 'Value'",
    ),
    "register value": (
        changed(RegisterDefinitions=[{"Register": "RAX", "Value": -1}]),
        "bad_register_field",
        "RegisterDefinitions[0]: 'Value' is -1, not a number of 64 bits without a sign",
    ),
    "boolean value": (
        changed(RegisterDefinitions=[{"Register": "RAX", "Value": True}]),
        "bad_register_field",
        "RegisterDefinitions[0]: 'Value' is true, not a number of 64 bits without a sign",
    ),
    "register name": (
        changed(RegisterDefinitions=[{"Register": "", "Value": 1}]),
        "bad_register_field",
        "RegisterDefinitions[0]: 'Register' is '', not a name",
    ),
    "no memory": (without("MemoryDefinitions"), "missing_memory_array", "it has no array 'MemoryDefinitions'"),
    "memory name": (
        changed(MemoryDefinitions=[{"Size": 1, "Value": 1}], MemoryMappings=[]),
        "missing_memory_field",
        "MemoryDefinitions[0] has no field 'Name'",
    ),
    "memory size": (
        changed(MemoryDefinitions=[{"Name": "MEM", "Size": 0, "Value": 1}]),
        "bad_memory_field",
        "MemoryDefinitions[0]: 'Size' is 0, not a positive number of 64 bits",
    ),
    "memory value": (
        changed(MemoryDefinitions=[{"Name": "MEM", "Size": 1, "Value": 1.5}]),
        "bad_memory_field",
        "MemoryDefinitions[0]: 'Value' is 1.5, not a number of 64 bits without a sign",
    ),
    "no mappings": (without("MemoryMappings"), "missing_mapping_array", "it has no array 'MemoryMappings'"),
    "mapping address": (
        changed(MemoryMappings=[{"Value": "MEM"}]),
        "missing_mapping_field",
        "MemoryMappings[0] has no field 'Address'",
    ),
    "mapping value": (
        changed(MemoryMappings=[{"Address": 1}]),
        "missing_mapping_field",
        "MemoryMappings[0] has no field 'Value'",
    ),
    "undefined memory": (
        changed(MemoryMappings=[{"Value": "MEN", "Address": 1}]),
        "undefined_memory",
        "MemoryMappings[0] maps 'MEN', which 'MemoryDefinitions' lacks",
    ),
    "loop register": (changed(LoopRegister=None), "bad_loop_register", "'LoopRegister' is null, not a name"),
}


@pytest.mark.parametrize("block, reason, text", BAD_BLOCKS.values(), ids=BAD_BLOCKS.keys())
def test_problems(block, reason, text):
    assert [tuple(problem) for problem in block_problems(block)] == [(reason, text)]


def test_several_problems_of_one_block():
    assert [problem.reason for problem in block_problems({})] == [
        "missing_hex",
        "missing_register_array",
        "missing_memory_array",
        "missing_mapping_array",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "does not hold an array of blocks, but an object"),
        ("[", "is not JSON: Expecting value (line 1, column 2)"),
        ("", "is not JSON: Expecting value (line 1, column 1)"),
        ("[" * 100_000, "is nested too deeply"),
        ("[" + "1" * 5000 + "]", "holds a number that is too long"),
    ],
)
def test_files_that_are_no_array(tmp_path, text, message):
    path = tmp_path / "blocks.json"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_annotated_json(path)
    assert message in caught.value.message


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_annotated_json(tmp_path / "blocks.json")
