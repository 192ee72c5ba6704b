"""What is written down of passing blocks."""

import hashlib

import pytest

from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from gematria_ops.inference import recording
from gematria_ops.inference.recording import BlockRecorder, InstructionNumbers

# Mnemonic, inputs (registers or immediates), machine code, assembly.
Written = tuple[str, tuple[str | int, ...], bytes, str]
NOP: Written = ("NOOP", (), b"\x90", "\tnop")


def block(*instructions: Written, labels: tuple[tuple[float, ...], ...] = ((1.0,),)) -> BasicBlockWithThroughputProto:
    """Makes a block; one tuple of samples for each task."""
    proto = BasicBlockWithThroughputProto()
    for mnemonic, inputs, machine_code, assembly in instructions:
        canonical = proto.basic_block.canonicalized_instructions.add(mnemonic=mnemonic)
        for value in inputs:
            operand = canonical.input_operands.add()
            if isinstance(value, str):
                operand.register_name = value
            else:
                operand.immediate_value = value
        proto.basic_block.machine_instructions.add(machine_code=machine_code, assembly=assembly)
    for task, samples in enumerate(labels):
        entry = proto.inverse_throughputs.add(source=f"test: {task}" if samples else "")
        entry.inverse_throughput_cycles.extend(samples)
    return proto


def add(value: str | int, code: bytes = b"\x01") -> Written:
    return ("ADD", (value,), code, f"\taddl\t{value}, %eax")


def test_labels_lengths_mnemonics_and_texts() -> None:
    recorder = BlockRecorder(2, InstructionNumbers(), keep_texts=True)
    blocks = [
        block(NOP, add("EBX", b"\x01\xd8"), labels=((1.5, 9.0), ())),
        block(add("EBX", b"\x01\xd8"), labels=((), (2.5,))),
        block(NOP, labels=((3.0,),)),
    ]
    assert list(recorder.watch(blocks)) == blocks
    found = recorder.finish()
    assert found.labels.tolist() == [[1.5, -1], [-1, 2.5], [3, -1]]
    assert found.mask.tolist() == [[True, False], [False, True], [True, False]]
    assert found.mnemonic_ids.tolist() == [0, 1, 1, 0]
    assert found.num_instructions.tolist() == [2, 1, 1]
    assert list(found.sources) == ["test: 0", "test: 1"]
    assert found.machine_codes == ["9001d8", "01d8", "90"]
    assert found.fingerprints[0] == hashlib.sha256(b"9001d8").hexdigest()
    assert found.assembly[0] == ("nop", "addl\tEBX, %eax")


def test_token_sequences_are_equal_up_to_immediates_and_across_recorders() -> None:
    numbers = InstructionNumbers()
    first, second = BlockRecorder(1, numbers), BlockRecorder(1, numbers)
    first.add(block(NOP, add(7)))
    second.add(block(NOP, add(8)))
    second.add(block(NOP, add("EBX")))
    second.add(block(add(8), NOP))
    second.add(block(NOP, add(8), NOP))
    known = set(first.finish().token_sequences)
    assert [key in known for key in second.finish().token_sequences] == [True, False, False, False]


def test_numbers_stay_when_the_short_cut_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_MAX_KNOWN_INSTRUCTIONS", 2)
    recorder = BlockRecorder(1, InstructionNumbers())
    for _ in range(2):
        recorder.add(block(NOP, add(1), add(2), add("EBX"), add("ECX")))
    found = recorder.finish()
    assert found.token_sequences[0] == found.token_sequences[1]
    assert len({found.token_sequences[0][i : i + 4] for i in range(0, 20, 4)}) == 4


def test_what_is_noted_before_is_not_changed_by_what_is_appended_later() -> None:
    recorder = BlockRecorder(1, InstructionNumbers())
    for passing in recorder.watch([block(NOP, labels=((4.0,),))]):
        passing.inverse_throughputs.add(source="model").inverse_throughput_cycles.append(99.0)
        passing.inverse_throughputs[0].inverse_throughput_cycles[0] = 98.0
    assert recorder.finish().labels.tolist() == [[4.0]]


def test_blocks_without_machine_code_show_their_tokens() -> None:
    proto = block(NOP)
    del proto.basic_block.machine_instructions[:]
    proto.basic_block.fingerprint = "my block"
    recorder = BlockRecorder(1, InstructionNumbers(), keep_texts=True)
    recorder.add(proto)
    found = recorder.finish()
    assert (found.fingerprints, found.machine_codes) == (["my block"], [""])
    assert found.assembly == [("NOOP _D_ _D_ _D_",)]


def test_no_block_at_all() -> None:
    found = BlockRecorder(3, InstructionNumbers()).finish()
    assert (found.num_blocks, found.labels.shape, found.num_instructions.tolist()) == (0, (0, 3), [])
