# mypy: ignore-errors
# ruff: noqa
# fmt: off
from gematria_ops.formats.protos import basic_block_pb2 as _basic_block_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ThroughputWithSourceProto(_message.Message):
    __slots__ = ("source", "inverse_throughput_cycles", "prefix_inverse_throughputs")
    class PrefixThroughputProto(_message.Message):
        __slots__ = ("inverse_throughput_cycles",)
        INVERSE_THROUGHPUT_CYCLES_FIELD_NUMBER: _ClassVar[int]
        inverse_throughput_cycles: _containers.RepeatedScalarFieldContainer[float]
        def __init__(self, inverse_throughput_cycles: _Optional[_Iterable[float]] = ...) -> None: ...
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    INVERSE_THROUGHPUT_CYCLES_FIELD_NUMBER: _ClassVar[int]
    PREFIX_INVERSE_THROUGHPUTS_FIELD_NUMBER: _ClassVar[int]
    source: str
    inverse_throughput_cycles: _containers.RepeatedScalarFieldContainer[float]
    prefix_inverse_throughputs: _containers.RepeatedCompositeFieldContainer[ThroughputWithSourceProto.PrefixThroughputProto]
    def __init__(self, source: _Optional[str] = ..., inverse_throughput_cycles: _Optional[_Iterable[float]] = ..., prefix_inverse_throughputs: _Optional[_Iterable[_Union[ThroughputWithSourceProto.PrefixThroughputProto, _Mapping]]] = ...) -> None: ...

class BasicBlockWithThroughputProto(_message.Message):
    __slots__ = ("basic_block", "inverse_throughputs")
    BASIC_BLOCK_FIELD_NUMBER: _ClassVar[int]
    INVERSE_THROUGHPUTS_FIELD_NUMBER: _ClassVar[int]
    basic_block: _basic_block_pb2.BasicBlockProto
    inverse_throughputs: _containers.RepeatedCompositeFieldContainer[ThroughputWithSourceProto]
    def __init__(self, basic_block: _Optional[_Union[_basic_block_pb2.BasicBlockProto, _Mapping]] = ..., inverse_throughputs: _Optional[_Iterable[_Union[ThroughputWithSourceProto, _Mapping]]] = ...) -> None: ...

class BasicBlockWithThroughputListProto(_message.Message):
    __slots__ = ("basic_blocks",)
    BASIC_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    basic_blocks: _containers.RepeatedCompositeFieldContainer[BasicBlockWithThroughputProto]
    def __init__(self, basic_blocks: _Optional[_Iterable[_Union[BasicBlockWithThroughputProto, _Mapping]]] = ...) -> None: ...
