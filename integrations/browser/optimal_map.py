"""The optimal map between features' moments and a painting's, by matrix products: ONNX has no eigenvectors."""

import math

from graph import Graph, Value, exact
from onnx import TensorProto
from torch import Tensor

from impasto.fast.transport import MIN_EIGENVALUE

SQUARINGS = 4  # after which the largest eigenvalue is all that is left
LEAST_DISTANCE = 0.1  # of MIN_EIGENVALUE: nearer to it than that, an eigenvalue is raised in part


def find_map(g: Graph, known: Value, wanted: Value, identity: Tensor) -> Value:
    """Return the map T (C, C) with T known T = wanted, by products alone, in float64.

    T = wanted (known wanted)^-1/2. As in `take_power`, an eigenvalue x of the product is raised to e, MIN_EIGENVALUE of
    the largest: max(x, e) = (x + e + (x - e) sign(x - e)) / 2.
    """
    identity, floor = identity.double(), (MIN_EIGENVALUE * identity).double()
    wanted, known = (g("Cast", each, to=TensorProto.DOUBLE) for each in (wanted, known))
    product = g("MatMul", known, wanted)
    largest = find_largest(g, product, identity)
    product = g("Div", product, largest)
    above = g("Sub", product, floor)
    sign = above
    for factor in list_factors(LEAST_DISTANCE * MIN_EIGENVALUE):
        sign = g("MatMul", sign, make_step(g, sign, sign, factor, identity))
    root = g("Mul", g("Add", g("Add", product, floor), g("MatMul", above, sign)), exact(0.5))
    inverse = ""
    for factor in list_factors(MIN_EIGENVALUE**0.5):
        step = make_step(g, inverse, root, factor, identity)
        root = g("MatMul", root, step)
        inverse = g("MatMul", step, inverse) if inverse else step
    return g("Cast", g("Div", g("MatMul", wanted, inverse), g("Sqrt", largest)), to=TensorProto.FLOAT)


def make_step(g: Graph, first: Value, second: Value, factor: float, identity: Tensor) -> Value:
    """Return the step (3 - f^2 first second) f / 2 of Newton and Schulz; without `first`, that of the identity."""
    product = g("MatMul", first, second) if first else second
    return g("Sub", g("Mul", identity, exact(1.5 * factor)), g("Mul", product, exact(factor**3 / 2)))


def list_factors(least: float) -> list[float]:
    """List the factors with which the step brings numbers from `least` to 1 fastest to 1, and numbers below 0 to -1.

    Source: Chen and Chow, "A Stable Scaling of Newton-Schulz for Improving the Sign Function Computation of a Hermitian
    Matrix", 2014.
    """
    factors = []
    while least < 1 - 1e-7:
        factors.append(math.sqrt(3 / (1 + least + least**2)))
        least *= factors[-1] * (3 - (factors[-1] * least) ** 2) / 2
    return factors


def find_largest(g: Graph, matrix: Value, identity: Tensor) -> Value:
    """Return the largest of a matrix's eigenvalues, which are positive: the root of the trace of a power."""
    trace = g("ReduceSum", g("Mul", matrix, identity), keepdims=0)
    power = g("Div", matrix, trace)
    for _ in range(SQUARINGS):
        power = g("MatMul", power, power)
    sum_of_powers = g("ReduceSum", g("Mul", power, identity), keepdims=0)
    return g("Mul", trace, g("Pow", sum_of_powers, exact(0.5**SQUARINGS)))
