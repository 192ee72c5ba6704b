"""The network: embeddings, gated graph propagation, two decoders, and how they are exported and compressed."""
