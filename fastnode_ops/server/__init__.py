"""The graph data server: sessions that draw batches, and counts of symbols, over HTTP."""
