"""How many products that oneDNN made ready are kept for the next one of their shape.

oneDNN makes code for the shape of each product. The rows of a product are the tokens of its texts,
so most shapes come in one step and never again. By default torch keeps 1,024 descriptions of a
quarter of a megabyte for each kind of product in each thread, and oneDNN 1,024 products: a learner
in bfloat16 grows by more than a gigabyte. A step has some 200 shapes, and making one anew takes a
millisecond.
"""

from __future__ import annotations

import os

_KEPT = {
    ("LRU_CACHE_CAPACITY",): 64,
    ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "DNNL_PRIMITIVE_CACHE_CAPACITY"): 256,
}
"""How many torch and oneDNN keep, by the variables that say so to each."""


def keep_few_products() -> None:
    """Let this process and those that it starts keep few products, unless a variable is set.

    Both look at their variables when they make the first product, so it is to be called before.
    """
    for variables, count in _KEPT.items():
        if not any(variable in os.environ for variable in variables):
            os.environ[variables[0]] = str(count)
