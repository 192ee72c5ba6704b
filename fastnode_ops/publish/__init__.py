"""From `out/` to the product: upload, pin in the registry, datadeps."""
