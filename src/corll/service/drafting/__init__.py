"""Drafts: what is asked, and the engine that answers."""
