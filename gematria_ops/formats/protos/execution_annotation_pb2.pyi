# mypy: ignore-errors
# ruff: noqa
# fmt: off
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RegisterAndValue(_message.Message):
    __slots__ = ("register_name", "register_value")
    REGISTER_NAME_FIELD_NUMBER: _ClassVar[int]
    REGISTER_VALUE_FIELD_NUMBER: _ClassVar[int]
    register_name: str
    register_value: int
    def __init__(self, register_name: _Optional[str] = ..., register_value: _Optional[int] = ...) -> None: ...

class ExecutionAnnotations(_message.Message):
    __slots__ = ("code_start_address", "block_size", "block_contents", "accessed_blocks", "initial_registers", "loop_register")
    CODE_START_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_SIZE_FIELD_NUMBER: _ClassVar[int]
    BLOCK_CONTENTS_FIELD_NUMBER: _ClassVar[int]
    ACCESSED_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    INITIAL_REGISTERS_FIELD_NUMBER: _ClassVar[int]
    LOOP_REGISTER_FIELD_NUMBER: _ClassVar[int]
    code_start_address: int
    block_size: int
    block_contents: int
    accessed_blocks: _containers.RepeatedScalarFieldContainer[int]
    initial_registers: _containers.RepeatedCompositeFieldContainer[RegisterAndValue]
    loop_register: str
    def __init__(self, code_start_address: _Optional[int] = ..., block_size: _Optional[int] = ..., block_contents: _Optional[int] = ..., accessed_blocks: _Optional[_Iterable[int]] = ..., initial_registers: _Optional[_Iterable[_Union[RegisterAndValue, _Mapping]]] = ..., loop_register: _Optional[str] = ...) -> None: ...

class BlockWithExecutionAnnotations(_message.Message):
    __slots__ = ("execution_annotations", "block_hex")
    EXECUTION_ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_HEX_FIELD_NUMBER: _ClassVar[int]
    execution_annotations: ExecutionAnnotations
    block_hex: str
    def __init__(self, execution_annotations: _Optional[_Union[ExecutionAnnotations, _Mapping]] = ..., block_hex: _Optional[str] = ...) -> None: ...
