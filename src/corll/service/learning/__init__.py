"""Learning beside the server: from stored preferences to versions."""
