# mypy: ignore-errors
# ruff: noqa
# fmt: off
from gematria_ops.formats.protos import canonicalized_instruction_pb2 as _canonicalized_instruction_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MachineInstructionProto(_message.Message):
    __slots__ = ("address", "assembly", "machine_code")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ASSEMBLY_FIELD_NUMBER: _ClassVar[int]
    MACHINE_CODE_FIELD_NUMBER: _ClassVar[int]
    address: int
    assembly: str
    machine_code: bytes
    def __init__(self, address: _Optional[int] = ..., assembly: _Optional[str] = ..., machine_code: _Optional[bytes] = ...) -> None: ...

class BasicBlockProto(_message.Message):
    __slots__ = ("machine_instructions", "canonicalized_instructions", "fingerprint")
    MACHINE_INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    CANONICALIZED_INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    machine_instructions: _containers.RepeatedCompositeFieldContainer[MachineInstructionProto]
    canonicalized_instructions: _containers.RepeatedCompositeFieldContainer[_canonicalized_instruction_pb2.CanonicalizedInstructionProto]
    fingerprint: str
    def __init__(self, machine_instructions: _Optional[_Iterable[_Union[MachineInstructionProto, _Mapping]]] = ..., canonicalized_instructions: _Optional[_Iterable[_Union[_canonicalized_instruction_pb2.CanonicalizedInstructionProto, _Mapping]]] = ..., fingerprint: _Optional[str] = ...) -> None: ...
