#!/usr/bin/env python3
"""Pages of the documentation against the command: pages that are made from tables, and pages with examples.

    docs_test.py TIGER            compares
    docs_test.py TIGER --update   writes the pages anew

An example is an indented block whose first line is "$ tiger ...": what stands below it, up to the next "$" or the block's
end, is what the command prints. A page's examples run in one folder, one after the other; pictures that they draw are kept
beside the page, and must be small. Without gnuplot the pictures are left out.
"""
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {"optimizers.md": ["list", "optimizers", "--markdown"]}
EXAMPLES = ["minimize.md"]
INDENT = "    "
PICTURE_BYTES = 60000

if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["--update"]):
    sys.exit(__doc__)
TIGER = str(Path(sys.argv[1]).resolve())
UPDATE = "--update" in sys.argv[2:]


def make_page(arguments):
    return subprocess.run([TIGER, *arguments], capture_output=True, text=True, check=True).stdout


def run(command, folder):
    """What the command prints, as the page has it; None when it needs a gnuplot that is not there."""
    words = shlex.split(command)
    assert words[0] == "tiger", command
    if words[1] == "plot" and shutil.which("gnuplot") is None:
        return None
    done = subprocess.run([TIGER, *words[1:]], cwd=folder, capture_output=True, text=True)
    return (done.stdout + done.stderr).splitlines()


def run_examples(page, folder):
    """The page as it would be with what its commands print now."""
    out, lines, i = [], page.splitlines(), 0
    while i < len(lines):
        out.append(lines[i])
        if lines[i].startswith(INDENT + "$ tiger "):
            command = lines[i][len(INDENT) + 2:]
            end = i + 1
            while end < len(lines) and lines[end].startswith(INDENT) and not lines[end].startswith(INDENT + "$ "):
                if command.endswith("\\"):  # the command goes on
                    command = command[:-1] + lines[end].strip()
                    out.append(lines[end])
                    i += 1
                end += 1
            printed = run(command, folder)
            out += lines[i + 1:end] if printed is None else [(INDENT + line).rstrip() for line in printed]
            i = end - 1
        i += 1
    return "\n".join(out) + "\n"


def check_pictures(folder):
    """Every picture that was drawn lies beside the page and is small."""
    wrong = 0
    for picture in Path(folder).glob("*.svg"):
        kept = DOCS / picture.name
        if UPDATE:
            shutil.copy(picture, kept)
        if not kept.exists() or kept.stat().st_size > PICTURE_BYTES:
            print(f"docs/{picture.name} is missing, or larger than {PICTURE_BYTES} bytes")
            wrong += 1
    return wrong


def compare(page, made, how):
    if UPDATE:
        (DOCS / page).write_text(made)
    elif made != (DOCS / page).read_text():
        print(f"docs/{page} is not what {how}: run {sys.argv[0]} TIGER --update")
        return 1
    return 0


def main():
    wrong = 0
    for page, arguments in PAGES.items():
        wrong += compare(page, make_page(arguments), f"`tiger {' '.join(arguments)}` prints")
    for page in EXAMPLES:
        with tempfile.TemporaryDirectory() as folder:
            wrong += compare(page, run_examples((DOCS / page).read_text(), folder), "its commands print")
            wrong += check_pictures(folder)
    return 1 if wrong else 0


sys.exit(main())
