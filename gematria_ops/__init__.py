"""Throughput models of x86-64 basic blocks, with the command line and file formats of Google Gematria."""
