"""Memory: past requests and what was sent in answer, which stand as turns before a new request."""
