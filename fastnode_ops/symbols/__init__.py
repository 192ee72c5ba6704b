"""The names that modules define: kinds, members, canonical paths, signatures; from stubs and sources."""
