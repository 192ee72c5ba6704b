"""Whose runs a logged-in person may see, as Airflow's auth manager says."""

from __future__ import annotations

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import get_user
from airflow.models.dag import DagModel
from fastapi import Depends

from ops_platform.run_pages.airflow_runs import DAGS

_USER = Depends(get_user)


def readable_dags(user: BaseUser = _USER) -> frozenset[str]:
    """The workflows of which the person who asks may see the runs; a dependency of a route."""
    manager = get_auth_manager()

    def may_see(dag_id: str) -> bool:
        details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
        return manager.is_authorized_dag(method="GET", access_entity=DagAccessEntity.RUN, details=details, user=user)

    return frozenset(dag_id for dag_id in DAGS if may_see(dag_id))
