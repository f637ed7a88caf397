"""How a database of an earlier corll becomes one of this corll; Alembic runs it at opening."""
