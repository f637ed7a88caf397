"""Mutation testing: change one thing of the source at a time, and see whether a test notices.

`make mutants` runs it; `python -m mutants --help` (with `tests` on the path) says what can be asked
for. `subjects` says which tests concern which module, `operators` what is changed, `trial` runs the
tests on a changed copy, `judged.toml` keeps what was thought about the changes that no test
notices, and `report` counts.
"""
