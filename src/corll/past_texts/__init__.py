"""Texts that were sent before, read from mailboxes, tables and JSON lines."""
