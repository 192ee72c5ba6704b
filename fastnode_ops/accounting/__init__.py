"""The accounts of a distributed training: what was made, brought, used, and where the rest is."""
