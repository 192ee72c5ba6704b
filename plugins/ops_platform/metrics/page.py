"""/ops/metrics: the metrics in the text form of Prometheus, for whoever is logged in or has the deployment's token.

A scraper cannot log in, and Airflow's own tokens expire; so `OPS_METRICS_TOKEN`, when it is set, opens this one page.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ops_platform import settings
from ops_platform.metrics.names import METRICS, Sample
from ops_platform.metrics.reading import Collector

if TYPE_CHECKING:
    from fastapi import FastAPI
    from prometheus_client.metrics_core import Metric as Family
    from starlette.requests import Request
    from starlette.responses import Response

METRICS_PATH = "/metrics"


def add_metrics_page(app: FastAPI) -> None:
    """Add the page to an application, before its own routes and their login.

    Args:
        app: The application.
    """
    from starlette.routing import Route

    collector = Collector(settings.load())

    async def serve(request: Request) -> Response:
        from fastapi.concurrency import run_in_threadpool
        from starlette.responses import Response

        await _check_reader(request, settings.load().metrics_token)
        text = await run_in_threadpool(lambda: as_text(collector.collect()))
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    app.router.routes.insert(0, Route(METRICS_PATH, serve, methods=["GET"]))


def as_text(samples: Iterable[Sample]) -> str:
    """Samples in the text form of Prometheus, each metric with its help."""
    from prometheus_client import CollectorRegistry, generate_latest

    class Found:
        def collect(self) -> Iterator[Family]:
            """Hand the families over, as the library asks for them."""
            return families(samples)

        describe = collect

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Found())
    return generate_latest(registry).decode()


def families(samples: Iterable[Sample]) -> Iterator[Family]:
    """Samples by metric, in the order of the table; metrics without a value are left out."""
    from prometheus_client.core import GaugeMetricFamily

    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.metric, []).append(sample)
    for metric in METRICS:
        found = by_name.get(metric.name, [])
        if found:
            family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            for sample in found:
                family.add_metric([sample.labels[name] for name in metric.labels], sample.value)
            yield family


async def _check_reader(request: Request, token: str) -> None:
    """Let in who has the token, or is logged in to Airflow; for all others this raises what Airflow raises."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if token and scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode()):
        return
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi.security import HTTPBearer

    await get_user(request, None, await HTTPBearer(auto_error=False)(request))
