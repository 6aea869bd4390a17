#!/usr/bin/env python3
"""The global names of what was built: each is defined once, and begins with its house's prefix.

    symbols_test.py [tg_ FILE...] [cli_ FILE...]        libraries and objects that one program is linked from

An archive may define a name twice, or one that another archive has too: the linker then takes the first and says nothing.
A file that is compiled once for each instruction set and forgets TG_PER_ISA for a name does just that.
"""
import subprocess
import sys
from collections import defaultdict

LEAST = 100  # names in libtiger alone are many more
OTHERS = {"main"}
GENERATED = ("__", ".")  # compilers' own


def defined(path):
    """(name, member) of every global definition; weak ones may stand in several objects."""
    done = subprocess.run(["nm", "-A", "-g", "--defined-only", "-P", path], capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        place, name, kind = line.split()[:3]
        if kind not in "VvWw":
            yield name, place.rstrip(":")


def main():
    if not sys.argv[1:2] or not sys.argv[1].endswith("_"):
        sys.exit(__doc__)
    prefix, places, wrong = None, defaultdict(list), []
    for argument in sys.argv[1:]:
        if argument.endswith("_"):
            prefix = argument
            continue
        for name, place in defined(argument):
            if name.startswith(GENERATED):
                continue
            places[name].append(place)
            if not name.startswith(prefix) and name not in OTHERS:
                wrong.append(f"{name} ({place}) is global: call it {prefix}{name}, or make it static")
    wrong += [f"{name} is defined {len(at)} times: {', '.join(at)}" for name, at in places.items() if len(at) > 1]
    if len(places) < LEAST:
        wrong.append(f"only {len(places)} names were found: are these the right files?")
    for line in wrong:
        print(line)
    print(f"{len(wrong)} violations" if wrong else f"{len(places)} global names, each once and with its prefix")
    return 1 if wrong else 0


sys.exit(main())
