"""Files that a crash leaves whole, and the forms of files."""
