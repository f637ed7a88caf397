"""Gateways and learners of one database are killed at random while many users draft and edit.

`python -m crash.fleet`, with `tests` on Python's path, goes on where it was stopped.
"""
