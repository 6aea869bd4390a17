#!/usr/bin/env python3
"""The structure of the sources: who may include whom, and what the library must not call.

Dependencies point one way:  base <- dense, schedule, store, data, plot, problem <- minimize, optim, search <- graph <- layer
<- model <- train <- race <- cli, and attack between graph and train.  An #include that runs back fails here, and so does
a component this table does not know.
"""
import re
import sys
from pathlib import Path

MAY_USE = {
    "base": [],
    "schedule": ["base"],
    "store": ["base"],
    "data": ["base", "store"],
    "plot": ["base"],
    "problem": ["base"],
    "minimize": ["base", "store"],
    "dense": ["base"],
    "optim": ["base", "dense", "store"],
    "graph": ["base", "dense", "optim", "schedule"],
    "layer": ["base", "optim", "graph"],
    "model": ["base", "optim", "graph", "layer", "store"],
    "attack": ["base", "data", "graph", "optim"],
    "train": ["base", "attack", "schedule", "optim", "graph", "layer", "model", "data", "store", "problem", "minimize"],
    "search": ["base", "store", "minimize"],
    "race": ["base", "schedule", "optim", "minimize", "graph", "store", "data", "problem", "train"],
}

# Descriptors: a driver walks a family that stands above it through these. They declare, they hold no code.
DESCRIPTORS = {"layer/layer.h": ["graph"], "model/model.h": ["graph", "layer"]}

# Which component a public header belongs to: the lowest that may include it.
PUBLIC = {
    "tiger/status.h": "base", "tiger/memory.h": "base", "tiger/format.h": "base", "tiger/option.h": "base",
    "tiger/safetensors.h": "store", "tiger/schedule.h": "schedule", "tiger/optim.h": "optim",
    "tiger/minimize.h": "minimize",
    "tiger/engine/data.h": "data", "tiger/engine/samples.h": "data", "tiger/engine/model.h": "graph", "tiger/engine/train.h": "train",
    "tiger/engine/plot.h": "plot", "tiger/engine/metrics.h": "store",
    "tiger/engine/tensors.h": "store", "tiger/engine/problem.h": "problem", "tiger/engine/descent.h": "train",
    "tiger/engine/race.h": "race", "tiger/engine/method.h": "train",
    "tiger/engine/search.h": "search", "tiger/engine/attack.h": "train",
}
ENGINE = {"attack", "graph", "layer", "model", "data", "plot", "problem", "train", "race", "search"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
NO_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
FORBIDDEN = re.compile(r"(?<![\w.>])(printf|puts|putchar|perror|exit|_exit|abort|malloc|calloc|realloc|aligned_alloc"
                       r"|posix_memalign|strdup|strndup|rand|srand|drand48)\s*\(")
HEAP = "src/base/memory.c"  # the one place that takes memory from the system

wrong = []


def check_include(path, component, bracket, name):
    if bracket == "<" and not name.startswith("tiger/"):
        return
    if name in PUBLIC:
        target = PUBLIC[name]
    elif name.startswith("tiger/"):
        wrong.append(f"{path}: {name} belongs to no component: add it to {Path(__file__).name}")
        return
    elif "/" not in name:
        return  # beside the file itself
    else:
        target = name.split("/")[0]
    if target != component and target not in MAY_USE[component] and component not in DESCRIPTORS.get(name, []):
        wrong.append(f"{path}: includes {name}, but {component} may not stand on {target}")


def check_library(root):
    for path in sorted((root / "src").rglob("*.[ch]")):
        shown = path.relative_to(root).as_posix()
        component = shown.split("/")[1]
        if component not in MAY_USE:
            wrong.append(f"{shown}: component {component} is unknown: add it to {Path(__file__).name}")
            continue
        text = path.read_text(encoding="utf-8")
        for bracket, name in INCLUDE.findall(text):
            check_include(shown, component, bracket, name)
        if shown == HEAP:
            continue
        for call in FORBIDDEN.findall(NO_CODE.sub(" ", text)):
            wrong.append(f"{shown}: calls {call}(): the library neither prints nor exits, and takes its heap and its "
                         "randomness from src/base")


def check_public(root):
    """Public headers include public headers only, and those of libtiger none of the engine's."""
    for path in sorted((root / "include").rglob("*.h")):
        shown = path.relative_to(root).as_posix()
        name = path.relative_to(root / "include").as_posix()
        for bracket, included in INCLUDE.findall(path.read_text(encoding="utf-8")):
            if bracket == '"' and included not in PUBLIC:
                wrong.append(f"{shown}: includes {included}, which is not public")
            if "/engine/" not in name and PUBLIC.get(included) in ENGINE:
                wrong.append(f"{shown}: libtiger's header includes the engine's {included}")


def check_command(root):
    """The command, the examples and the Python package use public headers only."""
    for folder in ("cli", "examples", "python"):
        for path in sorted((root / folder).glob("*.[ch]")):
            shown = path.relative_to(root).as_posix()
            for bracket, name in INCLUDE.findall(path.read_text(encoding="utf-8")):
                if bracket == '"' and "/" in name and name not in PUBLIC:
                    wrong.append(f"{shown}: includes {name}; {folder}/ uses public headers only")


def main():
    root = Path(__file__).resolve().parents[2]
    check_library(root)
    check_public(root)
    check_command(root)
    for line in wrong:
        print(line)
    print(f"{len(wrong)} violations" if wrong else "every dependency points one way")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
