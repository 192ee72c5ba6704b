"""The whole network (specification 8): context graph, expansion graph, two decoders."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fastnode_ops.config import ModelConfig
from fastnode_ops.models.decoders import PRODUCTION_PRIOR, NameDecoder, ProductionDecoder
from fastnode_ops.models.embeddings import Embedding
from fastnode_ops.models.inputs import ModelInputs, Vocabulary
from fastnode_ops.models.losses import cross_entropy, max_margin
from fastnode_ops.models.preparing import kernel_names, prepare
from fastnode_ops.models.propagation import Propagation
from fastnode_ops.models.variables import Store, VariableStore
from fastnode_ops.samples.batch import TrainingBatch


class Answer(NamedTuple):
    """What the network says of a batch: the logit of every candidate, [C] float32 each."""

    name_logits: Any
    production_logits: Any


class Losses(NamedTuple):
    """Loss of each decoder, and their sum, which is minimised; [] float32."""

    loss: Any
    name_loss: Any
    production_loss: Any


class Network:
    """The functions from arrays to logits.

    Args:
        config: Sizes and choices.
        vocabulary: Sizes of the tables.
        store: Gives the weights.
    """

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary, store: Store) -> None:
        self.config = config
        self.vocabulary = vocabulary
        depth = config.depth
        self.embedding = Embedding(
            store, vocabulary.num_types, vocabulary.num_subtokens, config.type_depth, config.subtoken_depth
        )
        self.propagation = Propagation(
            store,
            kernel_names(config.tie_directions),
            depth,
            pooling=config.pooling,
            edge_attention=config.edge_attention,
            num_cells=config.num_hops + 1 if config.separate_cells else 1,
        )
        self.name_decoder = NameDecoder(store, depth)
        self.production_decoder = ProductionDecoder(
            store,
            vocabulary.num_productions,
            depth,
            concatenate=config.concatenate_contexts,
            prior=config.target_prior,
        )

    def __call__(self, inputs: ModelInputs) -> Answer:
        """Return the logits of all candidates."""
        context, lookup, wanted = tf.split(self.embedding(inputs.features), inputs.feature_sizes, num=3)
        for step, hop in enumerate(inputs.hops):
            context = self.propagation(context, hop, step)
        first = tf.gather(tf.concat([context, lookup], axis=0), inputs.expansion_rows)
        states = self.propagation(first, inputs.expansion_hop, self.config.num_hops)
        return Answer(
            self.name_decoder(states, wanted, inputs.name), self.production_decoder(states, inputs.production)
        )

    def losses(self, answer: Answer, inputs: ModelInputs) -> Losses:
        """Return what is minimised."""
        name, production = inputs.name, inputs.production
        if self.config.loss == "cross_entropy":
            name_loss = cross_entropy(answer.name_logits, name.labels, name.usage_samples)
            production_loss = cross_entropy(answer.production_logits, production.labels, production.target_samples)
        else:
            margin = self.config.margin
            name_loss = max_margin(answer.name_logits, name.labels, name.negatives, name.negative_samples, margin)
            production_loss = max_margin(
                answer.production_logits, production.labels, production.negatives, production.negative_samples, margin
            )
        return Losses(name_loss + production_loss, name_loss, production_loss)


class Expression(tf.Module, Network):  # type: ignore[misc]
    """The network with variables of its own.

    Args:
        config: Sizes and choices.
        vocabulary: Sizes of the tables.
        seed: Of the initial values.
        prior: [V_p], the initial logit of each target where the settings give targets one; zeros without it.
    """

    def __init__(
        self,
        config: ModelConfig,
        vocabulary: Vocabulary,
        seed: int,
        prior: npt.NDArray[np.float32] | None = None,
    ) -> None:
        tf.Module.__init__(self, name="expression")
        self._store = VariableStore(seed)
        Network.__init__(self, config, vocabulary, self._store)
        if config.target_prior and prior is not None:
            self._store.by_name[PRODUCTION_PRIOR].assign(prior)

    def variables_by_name(self) -> dict[str, tf.Variable]:
        """Return all variables under their names in a checkpoint, in a fixed order. All are trainable."""
        return dict(self._store.by_name)

    def identity(self) -> dict[str, Any]:
        """Return what has to be equal for weights to fit."""
        choices = self.config.model_dump(exclude={"loss", "margin"})
        return {"model": choices, "vocabulary": asdict(self.vocabulary)}

    def prepare(self, batch: TrainingBatch) -> ModelInputs:
        """Make a batch ready; NumPy only."""
        return prepare(batch, num_hops=self.config.num_hops, tie_directions=self.config.tie_directions)
