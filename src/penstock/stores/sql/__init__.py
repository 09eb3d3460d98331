"""The state store in a database: runs, journal, inbox, leases. SQLite through the driver; SQLAlchemy and Alembic only
for the schema and its migrations."""

from penstock.stores.sql.store import SqlStateStore, open_state

__all__ = ["SqlStateStore", "open_state"]
