"""Versions and references as folders: published, kept, imported."""
