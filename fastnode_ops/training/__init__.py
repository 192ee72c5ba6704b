"""The training: where batches come from, and the workload of the shared loop."""
