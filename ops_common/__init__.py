"""What both pipelines share: errors, artefacts, run folders, metrics, seeds, commands, the training loop."""
