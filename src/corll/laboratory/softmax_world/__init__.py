"""Algorithm 1 where π, π* and the objective of B.4 are exact: log-linear softmax policies.

world.py       prompts and texts, π_0, π* at a chosen KL, the sampler; R*, J and KL in closed form
settings.py    how large a world is, and how it is learned in
feedback.py    edits and comparisons by R*, and the labels of eq. 7's users
learning.py    the gradient of DPO and of imitation, and Adam
playing.py     an arm played by many seeds at many learning rates at once
measures.py    what a play is judged by: area under J, R* at a given KL, preferences to a quarter
"""
