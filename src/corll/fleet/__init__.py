"""A fleet on paper: a day of many users is played, and what it costs and what gives way is told."""
