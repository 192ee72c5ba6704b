"""The training loop and its checkpoints (the only part of ops_common that may import TensorFlow)."""
