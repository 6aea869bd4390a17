"""libtiger's optimizers under PyTorch: change one line.

    optimizer = tiger.torch.AdamW(model.parameters(), lr=1e-3)

Each class is a torch.optim.Optimizer: parameter groups, schedulers, closures, hooks, GradScaler and checkpoints work as
they do there. CPU tensors in float32, bfloat16 or float16 are stepped where they lie.
"""

from ._closure import CG, LBFGS, ClosureOptimizer, NewtonCG
from ._optimizer import Common, Optimizer
from ._rules import (
    CLASSES,
    AMSGrad,
    ASGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    AdamW,
    AdamW8bit,
    Adamax,
    Amos,
    LAMB,
    LARS,
    Lion,
    Lion8bit,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
    SGD,
    SignSGD,
    Signum,
    Sophia,
    Muon,
    TigerMuon,
    Shampoo,
    SOAP,
    KFAC,
    Tiger,
    optimizer,
)
from .offload import offload
from .roles import Roles, roles

__all__ = [
    "CG",
    "CLASSES",
    "ClosureOptimizer",
    "Common",
    "LBFGS",
    "NewtonCG",
    "Optimizer",
    "Roles",
    "AMSGrad",
    "ASGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "AdamW8bit",
    "Adamax",
    "Amos",
    "LAMB",
    "LARS",
    "Lion",
    "Lion8bit",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
    "SignSGD",
    "Signum",
    "Sophia",
    "Muon",
    "TigerMuon",
    "Shampoo",
    "SOAP",
    "KFAC",
    "Tiger",
    "offload",
    "optimizer",
    "roles",
]
