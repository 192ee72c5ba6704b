"""Training samples: the six tasks, the distributions they are drawn from, and their batches."""
