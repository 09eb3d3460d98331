"""The Python front end: functions marked with `@task`, called in functions marked with `@pipeline`."""
