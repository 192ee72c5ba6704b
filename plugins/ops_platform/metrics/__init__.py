"""Metrics of both model families, read from what runs leave behind; nothing has to be running to be measured.

names.py     every metric: what it says, its unit, its labels
reading.py   from run folders and data sets to samples
page.py      /ops/metrics, the text form of Prometheus
export.py    the same to a collector of OpenTelemetry
"""
