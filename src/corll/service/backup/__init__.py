"""Backups of a data folder: made while the service runs, verified, restored."""
