"""How good the completions are: providers, ranks, reports, examples, run records."""
