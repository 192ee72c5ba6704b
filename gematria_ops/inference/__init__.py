"""Prediction, evaluation, reports and the release gate."""
