"""The completion model `pythonexpr`: from a corpus of Python code to a validated, uploaded and pinned model."""
