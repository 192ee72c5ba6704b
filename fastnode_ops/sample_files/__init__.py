"""Files of training batches: made on one machine, read on another, whole or not there."""
