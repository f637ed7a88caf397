"""Models and adapters: found, loaded, encoded for, saved."""
