"""How oracles end that were asked wrongly: one line that names what is wrong, then what they take."""
import sys
from pathlib import Path


def refuse(page, wrong=None):
    if wrong is not None:
        print(f"{Path(sys.argv[0]).name}: {wrong}\n", file=sys.stderr)
    print(page, file=sys.stderr)
    sys.exit(2)


def check_count(page, least, most):
    """So many arguments."""
    count = len(sys.argv) - 1
    if not least <= count <= most:
        takes = str(least) if least == most else f"{least} to {most}"
        refuse(page, f"takes {takes} argument{'' if most == 1 else 's'}, and there {'is' if count == 1 else 'are'} {count}")


def check_words(page, kind, words, there):
    """`words` are among those that are `there`."""
    for word in words:
        if word not in there:
            refuse(page, f"there is no {kind} '{word}' (there are {', '.join(there)})")
