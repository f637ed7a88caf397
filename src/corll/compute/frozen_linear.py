"""Products with frozen weights, by torch's own operations on any device."""

from __future__ import annotations

from torch import Tensor, mm
from torch.nn.functional import linear


class FrozenLinear:
    """x Wᵀ + b, for a weight that does not learn.

    A backend may lay the weight out anew: `PackedLinear` does on a CPU.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight, bias

    def __call__(
        self,
        x: Tensor,
        added: Tensor | None = None,
        *,
        decoding: bool = False,
        into: Tensor | None = None,
    ) -> Tensor:
        """Return the product and what is `added`, rounded once, then the bias.

        It is the same whether 0 or nothing is added. It depends on the number of rows and not on
        whether gradients are wanted. Within autograd it is for who has its own backward pass.
        *Shapes*: `x` M × in, `added` M × out → M × out, in the memory of `into` where the product
        can write there.
        """
        if added is None and into is None:
            out = linear(x, self.weight)
        else:
            transposed = self.weight.t()
            out = mm(x, transposed, out=into) if added is None else added.addmm(x, transposed)
        return out if self.bias is None else out.add_(self.bias)

    def backward(self, grad: Tensor, added: Tensor | None = None) -> Tensor:
        """Return the gradient by x, grad W, and what is `added`.

        *Shapes*: M × out, M × in → M × in.
        """
        return grad @ self.weight if added is None else added.addmm(grad, self.weight)
