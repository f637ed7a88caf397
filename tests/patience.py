"""How long tests wait for what must come."""

PATIENCE_S = 180
"""No test measures time: on a quiet machine all that is waited for comes within a few seconds."""
