"""The HTTP API: OpenAI's, as its official client expects it, and what it takes to learn."""
