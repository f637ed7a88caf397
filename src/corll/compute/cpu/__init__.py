"""The quick paths of a CPU."""
