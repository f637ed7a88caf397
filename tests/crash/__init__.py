"""Crash tests: a service is killed at every durable point and at random, and loses nothing.

`python -m crash`, with `tests` on Python's path, goes on where it was stopped.
"""
