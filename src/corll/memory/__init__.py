"""Memory: past requests and what was sent in answer, which stand before a new request."""
