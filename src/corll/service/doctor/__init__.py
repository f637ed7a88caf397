"""What is wrong with a data folder and its database, and what can be mended."""
