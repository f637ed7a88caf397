"""Models that have a name: what each holds, what it needs, how it is got, which one suits."""
