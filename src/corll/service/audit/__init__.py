"""Whether a user's model gives their texts away: canaries, and the user's own rare strings."""
