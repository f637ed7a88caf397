"""What is kept of the products that oneDNN makes ready, in processes of their own."""

from __future__ import annotations

import psutil
import pytest
import torch

from corll.compute.cpu.packed_linear import can_prepack
from own_process import said

_NEEDED = torch.zeros(64, 64, dtype=torch.bfloat16)
_VARIABLES = (
    "LRU_CACHE_CAPACITY",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY",
    "DNNL_PRIMITIVE_CACHE_CAPACITY",
)
_MANY_SHAPES = """
import psutil, torch
from corll.compute.choose import drafting_product
torch.set_num_threads(1)
weight = torch.randn(64, 64).bfloat16()
product = drafting_product(weight, copied=False)
def products(begin, end):
    for rows in range(begin, end):
        torch.mm(torch.zeros(rows, 64, dtype=torch.bfloat16), weight)
    return psutil.Process().memory_info().rss
print(products(1, 400), products(400, 1000))
"""
_VARIABLES_AFTERWARDS = f"""
import os, torch
from corll.compute.choose import layer_operations
layer_operations(torch.device("cpu"))
print(*(os.environ.get(name) for name in {_VARIABLES!r}))
"""


@pytest.mark.skipif(not can_prepack(_NEEDED), reason="oneDNN takes no bf16 on this processor")
@pytest.mark.skipif(not psutil.LINUX, reason="allocators of other systems tell other sizes")
def test_products_of_ever_new_shapes_take_no_more_memory() -> None:
    before, after = map(int, said(_MANY_SHAPES, without=_VARIABLES).split())
    assert after - before < 60e6
    many = {"LRU_CACHE_CAPACITY": "1024", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024"}
    before, after = map(int, said(_MANY_SHAPES, without=_VARIABLES, **many).split())
    assert after - before > 120e6


@pytest.mark.parametrize(
    ("given", "afterwards"),
    [
        ({}, ["64", "256", "None"]),
        ({"LRU_CACHE_CAPACITY": "7"}, ["7", "256", "None"]),
        ({"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "9"}, ["64", "9", "None"]),
        ({"DNNL_PRIMITIVE_CACHE_CAPACITY": "9"}, ["64", "None", "9"]),
    ],
)
def test_what_a_variable_says_holds(given: dict[str, str], afterwards: list[str]) -> None:
    assert said(_VARIABLES_AFTERWARDS, without=_VARIABLES, **given).split() == afterwards
