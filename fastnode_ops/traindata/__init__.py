"""The step `traindata`: from the counts of symbols to `metainfo.json`."""
