"""Small models of every kind, with real blocks of BHive, for the tests of exporting."""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gematria_ops.blocks.basic_block import Annotation, BasicBlock
from gematria_ops.blocks.decoding import decode_block
from gematria_ops.blocks.tokens import instruction_tokens
from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.config import RunnerConfig
from gematria_ops.encode.encoded_blocks import EncodedBlocks, encode_blocks
from gematria_ops.encode.layouts import graph_builder
from gematria_ops.formats.proto_codec import block_to_proto
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from gematria_ops.models.bundle import Bundle
from gematria_ops.models.factory import ThroughputModel, build_model
from ops_common.tfrecord import write_records

SAMPLE = Path(__file__).parents[1] / "data" / "bhive" / "sample_hsw.csv"

_TASKS = ('input.task_names=["hsw", "skl"]', 'input.source_filters=["hsw", "skl"]')
_SEQUENCE = tuple(f"model.{part}_embedding_size=8" for part in ("token", "instruction", "block"))
_GRAPH = (
    "model.kind=graph",
    *(f"model.{part}_embedding_size=8" for part in ("node", "edge", "global")),
    "model.num_message_passing_iterations=2",
    "model.node_update_layers=6",
)
SEQ2SEQ, BOTH_WAYS = "model.seq2seq=true", "model.bidirectional=true"


@dataclass(frozen=True)
class Kind:
    """A kind of model: settings, and the annotations that it reads."""

    settings: tuple[str, ...]
    annotations: tuple[str, ...] = ()


KINDS = {
    "sequence": Kind((*_SEQUENCE, "model.output_layers=5")),
    "sequence, two tasks, both ways": Kind((*_SEQUENCE, *_TASKS, BOTH_WAYS)),
    "sequence, seq2seq": Kind((*_SEQUENCE, *_TASKS, SEQ2SEQ, "model.task_output_layers=16")),
    "sequence, seq2seq, both ways": Kind((*_SEQUENCE, SEQ2SEQ, BOTH_WAYS)),
    "graph": Kind(_GRAPH),
    "graph, two tasks, sent edges": Kind((*_GRAPH, *_TASKS, "model.use_sent_edges=true", "model.readout_layers=5")),
    "graph, seq2seq": Kind((*_GRAPH, *_TASKS, SEQ2SEQ)),
    "graph, annotations": Kind(_GRAPH, ("cache_miss_freq", "other")),
    "graph, seq2seq, annotations": Kind((*_GRAPH, SEQ2SEQ), ("cache_miss_freq",)),
    "graph, LSTM": Kind((*_GRAPH, *_TASKS, "model.rnn_type=LSTM", "model.rnn_output_size=6")),
    "graph, GRU, seq2seq, both ways": Kind(
        (*_GRAPH, SEQ2SEQ, "model.rnn_type=GRU", "model.rnn_output_size=6", "model.rnn_bidirectional=true")
    ),
}


def real_blocks(num_blocks: int) -> list[BasicBlock]:
    """The first blocks of BHive's sample; every third instruction has an annotation."""
    blocks = []
    with SAMPLE.open(encoding="utf-8") as file:
        for line in itertools.islice(file, num_blocks):
            decoded = decode_block(bytes.fromhex(line.partition(",")[0]))
            instructions = [item.instruction for item in decoded]
            instructions[::3] = [
                dataclasses.replace(item, instruction_annotations=(Annotation("cache_miss_freq", 0.125),))
                for item in instructions[::3]
            ]
            blocks.append(BasicBlock(tuple(instructions)))
    return blocks


def vocabulary_of(blocks: Sequence[BasicBlock]) -> Vocabulary:
    tokens = {token for block in blocks for item in block.instructions for token in instruction_tokens(item)}
    return Vocabulary(tokens, "_UNKNOWN_")


def make_bundle(kind: Kind, vocabulary: Vocabulary, *more: str) -> Bundle:
    """A model of this kind, its weights disturbed so that none is zero or one."""
    replacement = f"tokens.out_of_vocabulary_replacement_token={vocabulary.replacement_token}"
    config = RunnerConfig.from_toml(None, [*kind.settings, replacement, *more])
    model = build_model(config, vocabulary, kind.annotations)
    random = np.random.default_rng(7)
    for variable in model.variables_by_name().values():
        variable.assign_add(random.normal(scale=0.1, size=variable.shape).astype(np.float32))
    return Bundle(model, vocabulary, config, 400)


def encode(model: ThroughputModel, vocabulary: Vocabulary, blocks: Sequence[BasicBlock]) -> EncodedBlocks:
    graphs = graph_builder(model.config, vocabulary, model.annotation_names)
    return encode_blocks(blocks, vocabulary, graphs=graphs)


def write_blocks(path: Path, blocks: Sequence[BasicBlock]) -> Path:
    protos = (BasicBlockWithThroughputProto(basic_block=block_to_proto(block)) for block in blocks)
    write_records(path, (proto.SerializeToString() for proto in protos))
    return path
