"""How models are computed: the one door to the machine, and what lies behind it."""
