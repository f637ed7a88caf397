"""What the service remembers: one database, read and written in plain functions on a connection."""
