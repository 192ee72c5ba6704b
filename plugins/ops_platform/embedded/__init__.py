"""The platform on one machine: Airflow and a local object store, started, watched and stopped as plain processes.

layout.py     where everything stands: folders, ports, secrets, the services' environment
services.py   processes that carry an instance's mark: start, find again, stop
lifecycle.py  up and stop: what is started in which order, and when it is ready
airflow_api.py  the REST API of the running Airflow
main_run.py   the main job: trigger, watch, check, report
__main__.py   the commands behind `make run`, `make up`, `make stop` and `make status`
"""
