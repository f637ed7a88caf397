"""Soak tests: a service works for hours, and what it takes of the machine stays flat.

`python -m soak`, with `tests` on Python's path.
"""
