"""Files that a crash leaves whole, and the forms that they have."""
