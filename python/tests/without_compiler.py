"""Run by ./run test --full in an environment that has the wheel and NumPy, and nothing to build with."""

import shutil

import numpy

import tiger
import tiger.numpy

assert not any(map(shutil.which, ("cc", "gcc", "clang", "cmake", "make", "ninja"))), "there is a compiler here"
for rule in tiger.rules():
    weights = numpy.full((64, 65), 0.731, "float32")
    tiger.numpy.optimizer(rule, [weights], weight_decay=0).step([numpy.full((64, 65), -0.29, "float32")])
    assert (weights > 0.731).all(), rule
print(f"{len(tiger.rules())} optimizers work without a compiler")
