"""Registers with Airflow what `ops_platform` adds to it: the nightly timetable, and pages about runs and examples."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from ops_platform.report_pages import (
    EVALUATION_PAGE,
    EXAMPLES_PATH,
    LINEAGE_PATH,
    RUN_PAGE,
    RUNS_PATH,
    TREND_PATH,
    URL_PREFIX,
    LazyApp,
)
from ops_platform.timetable import NightlyTimetable


class OpsPlatformPlugin(AirflowPlugin):
    """What Airflow is told about."""

    name = "ops_platform"
    timetables = [NightlyTimetable]  # noqa: RUF012 - how Airflow declares it, here and below
    fastapi_apps = [{"app": LazyApp(), "url_prefix": URL_PREFIX, "name": "ops_platform"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Evaluation",
            "href": f"{URL_PREFIX}/runs/{{DAG_ID}}/{{RUN_ID}}/reports/{EVALUATION_PAGE}",
            "destination": "dag_run",
            "url_route": "evaluation",
        },
        {
            "name": "Report",
            "href": f"{URL_PREFIX}/runs/{{DAG_ID}}/{{RUN_ID}}/reports/{RUN_PAGE}",
            "destination": "dag_run",
            "url_route": "run-report",
        },
        {
            "name": "Training runs",
            "href": f"{URL_PREFIX}{RUNS_PATH}",
            "destination": "nav",
            "category": "browse",
            "url_route": "training-runs",
        },
        {
            "name": "Training trend",
            "href": f"{URL_PREFIX}{TREND_PATH}",
            "destination": "nav",
            "category": "browse",
            "url_route": "training-trend",
        },
        {
            "name": "Training lineage",
            "href": f"{URL_PREFIX}{LINEAGE_PATH}",
            "destination": "nav",
            "category": "browse",
            "url_route": "training-lineage",
        },
        {
            "name": "Completion examples",
            "href": f"{URL_PREFIX}{EXAMPLES_PATH}/",
            "destination": "nav",
            "url_route": "completion-examples",
        },
    ]
