"""One process: PyTorch before and after, one OpenMP runtime, and neither PyTorch nor NumPy where they are not asked
for."""

import subprocess
import sys

import pytest

STEP = """
import torch
def step():
    p = torch.nn.Parameter(torch.full((300, 500), 0.5))
    optimizer = tiger.torch.AdamW([p], lr=0.25, weight_decay=0)
    p.grad = torch.ones_like(p)
    optimizer.step()
    assert torch.allclose(p, torch.full_like(p, 0.25)), p
    return p @ p.t()
"""
RUNTIMES = """
maps = open("/proc/self/maps").read().split()
print(len({path for path in maps if "libgomp" in path or "libomp" in path or "libiomp" in path}))
"""


def python(code):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "imports",
    [
        "import tiger.torch, torch",
        "import torch, tiger.torch",
        "import tiger; tiger.rules(); import torch, tiger.torch",
        "import torch; torch.ones(999, 999) @ torch.ones(999, 999); import tiger.torch",
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_one_openmp_runtime(imports):
    assert python(imports + STEP + "step()" + RUNTIMES) == "1"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_threads_are_torch_s():
    """torch.set_num_threads counts here too, and its pool is this library's: no thread more than PyTorch has
    started."""
    code = """
import os, tiger.torch
threads = lambda: len(os.listdir("/proc/self/task"))
torch.set_num_threads({})
torch.ones(1 << 20).exp()
before = threads()
step()
torch.ones(1 << 20).exp()
print(before, threads())
"""
    one, three = (python(STEP.split("return")[0] + code.format(n)).split() for n in (1, 3))
    assert one[0] == one[1] and three[0] == three[1] and int(three[0]) > int(one[0])


def test_neither_torch_nor_numpy_is_imported():
    print_them = "import sys, tiger; tiger.rules(); print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    assert python(print_them) == "[]"
    assert python("import sys, tiger.numpy; print('torch' in sys.modules)") == "False"


def test_it_works_where_they_cannot_be_imported():
    code = """
import sys
sys.modules["torch"] = None
import numpy, tiger.numpy
w = numpy.ones(3, "float32")
tiger.numpy.optimizer("sgd", [w], lr=0.5).step([w.copy()])
print(w.tolist())
"""
    assert python(code) == "[0.5, 0.5, 0.5]"
