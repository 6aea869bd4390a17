#!/usr/bin/env python3
"""Scripts that people call: a word they do not know is named in one line, with those that there are, and nothing is begun."""
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CASES = (  # command, exit status, what its first line says
    (["./run", "bild"], 2, ["no word 'bild'", "build, demo, test and help"]),
    (["./run", "build", "fast"], 2, ["'fast' behind 'build'"]),
    (["./run", "demo", "a.txt", "b.txt"], 2, ["'b.txt' behind 'demo'"]),
    (["./run", "test", "--ful"], 2, ["'--ful'", "--full"]),
    (["./run", "test", "--full", "quick"], 2, ["'quick' behind 'test'"]),
    (["./run", "demo", "no such text"], 1, ["cannot read no such text"]),
    (["tests/mutation.sh", "lion/", "lyon/"], 2, ["'lyon/'", "tests/mutations.txt"]),
    (["tests/install/install_test.sh"], 2, ["the repository's folder"]),
    (["tests/install/install_test.sh", "tests"], 2, ["the repository's folder"]),
)


def main():
    wrong = 0
    for command, status, words in CASES:
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        lines = done.stderr.splitlines()
        if done.returncode != status or done.stdout or len(lines) != 1 or not all(word in lines[0] for word in words):
            print(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
            wrong += 1
    usage = subprocess.run(["./run"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    asked = subprocess.run(["./run", "help"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    if (usage.returncode, asked.returncode, usage.stderr, usage.stdout) != (2, 0, asked.stdout, "") or "./run demo" not in asked.stdout:
        print(f"./run without a word, and ./run help, differ:\n{usage}\n{asked}")
        wrong += 1
    print(f"{wrong} wrong" if wrong else f"{len(CASES)} wrong words, each named")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
