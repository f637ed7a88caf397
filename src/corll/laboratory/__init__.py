"""The laboratory: the paper's experiments on any model, with error bars, and the open question."""
