"""Speed and size, measured against plain reference loops; `make benchmarks`."""
