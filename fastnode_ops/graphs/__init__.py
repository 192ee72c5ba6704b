"""The program graph: nodes, features, edges, the context of a site, the expansion graph."""
