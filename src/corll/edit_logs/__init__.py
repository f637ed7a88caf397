"""Logs of edits, read from what other tools export: prompt, draft, and the text that was sent."""
