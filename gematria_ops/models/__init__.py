"""The models and their saved form."""
