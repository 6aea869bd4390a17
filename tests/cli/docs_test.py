#!/usr/bin/env python3
"""Pages of the documentation that are made from tables, against what the command makes of them now.

    docs_test.py TIGER            compares
    docs_test.py TIGER --update   writes the pages anew
"""
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {"optimizers.md": ["list", "optimizers", "--markdown"]}


def main():
    wrong = 0
    for page, arguments in PAGES.items():
        made = subprocess.run([sys.argv[1], *arguments], capture_output=True, text=True, check=True).stdout
        if "--update" in sys.argv[2:]:
            (DOCS / page).write_text(made)
        elif made != (DOCS / page).read_text():
            print(f"docs/{page} is not what `tiger {' '.join(arguments)}` prints: run {sys.argv[0]} TIGER --update")
            wrong += 1
    return 1 if wrong else 0


sys.exit(main())
