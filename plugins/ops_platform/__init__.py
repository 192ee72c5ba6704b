"""Everything that knows both Airflow and the libraries: operators, schedules, pages, and the embedded platform."""
