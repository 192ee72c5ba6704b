# mypy: ignore-errors
# ruff: noqa
# fmt: off
from gematria_ops.formats.protos import annotation_pb2 as _annotation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CanonicalizedOperandProto(_message.Message):
    __slots__ = ("register_name", "immediate_value", "fp_immediate_value", "address", "memory")
    class AddressTuple(_message.Message):
        __slots__ = ("base_register", "index_register", "displacement", "scaling", "segment")
        BASE_REGISTER_FIELD_NUMBER: _ClassVar[int]
        INDEX_REGISTER_FIELD_NUMBER: _ClassVar[int]
        DISPLACEMENT_FIELD_NUMBER: _ClassVar[int]
        SCALING_FIELD_NUMBER: _ClassVar[int]
        SEGMENT_FIELD_NUMBER: _ClassVar[int]
        base_register: str
        index_register: str
        displacement: int
        scaling: int
        segment: str
        def __init__(self, base_register: _Optional[str] = ..., index_register: _Optional[str] = ..., displacement: _Optional[int] = ..., scaling: _Optional[int] = ..., segment: _Optional[str] = ...) -> None: ...
    class MemoryLocation(_message.Message):
        __slots__ = ("alias_group_id",)
        ALIAS_GROUP_ID_FIELD_NUMBER: _ClassVar[int]
        alias_group_id: int
        def __init__(self, alias_group_id: _Optional[int] = ...) -> None: ...
    REGISTER_NAME_FIELD_NUMBER: _ClassVar[int]
    IMMEDIATE_VALUE_FIELD_NUMBER: _ClassVar[int]
    FP_IMMEDIATE_VALUE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    register_name: str
    immediate_value: int
    fp_immediate_value: float
    address: CanonicalizedOperandProto.AddressTuple
    memory: CanonicalizedOperandProto.MemoryLocation
    def __init__(self, register_name: _Optional[str] = ..., immediate_value: _Optional[int] = ..., fp_immediate_value: _Optional[float] = ..., address: _Optional[_Union[CanonicalizedOperandProto.AddressTuple, _Mapping]] = ..., memory: _Optional[_Union[CanonicalizedOperandProto.MemoryLocation, _Mapping]] = ...) -> None: ...

class CanonicalizedInstructionProto(_message.Message):
    __slots__ = ("mnemonic", "prefixes", "llvm_mnemonic", "output_operands", "input_operands", "implicit_output_operands", "implicit_input_operands", "instruction_annotations")
    MNEMONIC_FIELD_NUMBER: _ClassVar[int]
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    LLVM_MNEMONIC_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_OPERANDS_FIELD_NUMBER: _ClassVar[int]
    INPUT_OPERANDS_FIELD_NUMBER: _ClassVar[int]
    IMPLICIT_OUTPUT_OPERANDS_FIELD_NUMBER: _ClassVar[int]
    IMPLICIT_INPUT_OPERANDS_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    mnemonic: str
    prefixes: _containers.RepeatedScalarFieldContainer[str]
    llvm_mnemonic: str
    output_operands: _containers.RepeatedCompositeFieldContainer[CanonicalizedOperandProto]
    input_operands: _containers.RepeatedCompositeFieldContainer[CanonicalizedOperandProto]
    implicit_output_operands: _containers.RepeatedCompositeFieldContainer[CanonicalizedOperandProto]
    implicit_input_operands: _containers.RepeatedCompositeFieldContainer[CanonicalizedOperandProto]
    instruction_annotations: _containers.RepeatedCompositeFieldContainer[_annotation_pb2.AnnotationProto]
    def __init__(self, mnemonic: _Optional[str] = ..., prefixes: _Optional[_Iterable[str]] = ..., llvm_mnemonic: _Optional[str] = ..., output_operands: _Optional[_Iterable[_Union[CanonicalizedOperandProto, _Mapping]]] = ..., input_operands: _Optional[_Iterable[_Union[CanonicalizedOperandProto, _Mapping]]] = ..., implicit_output_operands: _Optional[_Iterable[_Union[CanonicalizedOperandProto, _Mapping]]] = ..., implicit_input_operands: _Optional[_Iterable[_Union[CanonicalizedOperandProto, _Mapping]]] = ..., instruction_annotations: _Optional[_Iterable[_Union[_annotation_pb2.AnnotationProto, _Mapping]]] = ...) -> None: ...
