"""`python -m ops_platform.metrics.export`: sends the metrics to a collector of OpenTelemetry until it is ended.

Where to is said by OpenTelemetry's own variables: OTEL_EXPORTER_OTLP_ENDPOINT (http://collector:4318) and its
neighbours; OTEL_METRIC_EXPORT_INTERVAL is the pause in milliseconds.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from ops_common.errors import ConfigError, OpsError
from ops_platform import settings
from ops_platform.metrics.names import METRICS, Sample
from ops_platform.metrics.reading import Collector

SERVICE_NAME = "model-training"
_FRESH_SECONDS = 1.0

Answer = Callable[[CallbackOptions], Iterable[Observation]]


class _Shared:
    """One collection for all metrics of an export, which asks for them one by one."""

    def __init__(self, collector: Collector) -> None:
        self._collector, self._at = collector, float("-inf")
        self._samples: list[Sample] = []
        self._lock = threading.Lock()

    def answer(self, name: str) -> Answer:
        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            with self._lock:
                if time.monotonic() - self._at > _FRESH_SECONDS:
                    self._samples, self._at = self._collector.collect(), time.monotonic()
                return [Observation(one.value, dict(one.labels)) for one in self._samples if one.metric == name]

        return observe


def start_export(collector: Collector) -> MeterProvider:
    """Begin to send metrics; `shutdown` of what is returned sends once more and ends it.

    Raises:
        ConfigError: Nobody said where to.
    """
    if not (os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")):
        raise ConfigError(
            "no collector is named", "set OTEL_EXPORTER_OTLP_ENDPOINT, for example to http://localhost:4318"
        )
    name = os.environ.get("OTEL_SERVICE_NAME") or SERVICE_NAME
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    provider = MeterProvider([reader], resource=Resource.create({"service.name": name}))
    meter, shared = provider.get_meter("ops_platform"), _Shared(collector)
    for metric in METRICS:
        meter.create_observable_gauge(metric.name, [shared.answer(metric.name)], description=metric.help)
    return provider


def main() -> int:
    """Send metrics until a signal asks to stop."""
    stopped = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopped.set())
    try:
        provider = start_export(Collector(settings.load()))
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    stopped.wait()
    provider.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
