"""Pages about runs in the Airflow web server: the list, the trend over nights, comparison of two, lineage."""
