"""Verdicts on versions and arms, one rule a file: what an edit says of each, and what is ruined."""
