#!/usr/bin/env python3
"""Byte-level BPE: the ids of Hugging Face tokenizers.

    bpe.py write DIR      trains a small vocabulary; writes DIR/bpe_NAME.json, and DIR/bpe_cases.json: texts and ids
    bpe.py verify DIR     the ids of those files, computed anew
    bpe.py PROGRAM [GPT2] holds tests/oracle/tokenize.c against tokenizers on 1 MB of mixed text, for every
                          pre_tokenizer below; GPT2: a directory with GPT-2's vocab.json and merges.txt, tried too
"""
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import usage

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN = LLAMA3.replace("{1,3}", "")
NEWER = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

PROSE = """In the beginning the lion and the tiger lay down beside still waters; "it's late," said the lion, "and we'll
rest." They'd walked for 1234567 steps, he'd counted them - 3.14159 of them twice (why?). That's how it was, isn't it?
THE END'S NEAR, HE'D SAID. 2385 words later nobody remembered who had begun... Ten thousand nights, and one more night.\n"""
CODE = """#include <stdio.h>\n\nint main(void)\n{\n\tfor (int i = 0; i < 10; i++)\n\t\tprintf("%d\\n", a[i] += 0x1f);\n
    return x->y != NULL && !z ? 0 : -1; /* done */\n}\n\ndef f(x, *, y=None):\n    return {"a": [x**2, 'b'], y: f"{x:>10}"}\n"""
OTHER = """敏捷的棕色狐狸跳过了懒狗。今天是2026年十一月！ 日本語のテキスト、カタカナ。 한국어 문장입니다. Привет, мир! Ελληνικά μας. שלום עולם
مرحبا بالعالم ١٢٣ हिन्दी में क्षत्रिय ไทย 🙂🙃👩‍👩‍👧‍👦🏳️‍🌈 🇩🇪 e\u0301a\u0308o\u0302 ﬁne ſhe'ſ ½ ⅷ ² ① 𝟘𝟙 𝄞𐍈 naïve Straße\r\nline\r\n\r\n\r two
\u00a0nbsp\u2003em\u3000wide\u200bzero\u180emvs\u1680og\u0085nel\u2028ls\u2029ps\ufeffbom\u0000nul\u0007\x1b[0m\x1c\x1f\x7f \ue000 \U000f0000\n"""


def isolated(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated", invert=False)


def byte_level(use_regex=False, blank=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=blank, use_regex=use_regex)


# NAME: (pre_tokenizer, ignore_merges). The first three have goldens.
KINDS = {
    "gpt2": (byte_level(True), False),
    "llama3": (pre_tokenizers.Sequence([isolated(LLAMA3), byte_level()]), True),
    "smollm2": (pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(True)]), False),
    "qwen": (pre_tokenizers.Sequence([isolated(QWEN), byte_level()]), False),
    "newer": (pre_tokenizers.Sequence([isolated(NEWER), byte_level()]), False),
    "chain": (pre_tokenizers.Sequence([
        isolated(r"\p{N}{1,3}"), isolated("[一-龥぀-ゟ゠-ヿ]+"),
        isolated(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
                 r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"), byte_level()]), False),
    "digits_together": (pre_tokenizers.Sequence([pre_tokenizers.Digits(), byte_level(True)]), False),
    "literal": (pre_tokenizers.Sequence([pre_tokenizers.Split("i", "isolated"), byte_level()]), False),
    "empty_matches": (pre_tokenizers.Sequence([isolated(r"(?=\d)|x*"), byte_level()]), False),
    "no_words": (byte_level(), False),
    "blank_first": (byte_level(True, True), False),
    "blank_first_of_words": (pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(True, True)]),
                             True),
}
GOLDEN = ("gpt2", "llama3", "smollm2")
SPECIAL = [AddedToken("<|endoftext|>", special=True, normalized=False),
           AddedToken("<|end|>", special=True, normalized=False),
           AddedToken("<|endof", special=False, normalized=False),
           AddedToken("<mask>", special=True, normalized=False, lstrip=True),
           AddedToken("<sep>", special=True, normalized=False, rstrip=True),
           AddedToken("<both>", special=True, normalized=True, lstrip=True, rstrip=True),
           AddedToken("狐狸", special=False, normalized=True),
           AddedToken("    ", special=False, normalized=True)]
PLAIN = 3  # of these only the first are in the goldens: no blank is lost


def make(vocab, merges, name, special):
    pre_tokenizer, ignore_merges = KINDS[name]
    tokenizer = Tokenizer(models.BPE(vocab, merges, ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    for token in special:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    return tokenizer


def train(size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = KINDS["llama3"][0]
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([PROSE] * 3 + [CODE] * 2 + [OTHER] * 2, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]


def cases():
    yield from ("", "a", " ", "  x", "x  ", "\n\n\n x\r\n\r\n y \t\t z", "aaaaaaaaaaaaaaaaaaaaaaa", " " * 37 + "end",
                "it's IT'S we'LL ſ'ſ 'ſ", "1 12 123 1234 12345.678", "<|endoftext|>", "a<|endoftext|> b <|endoftext|><|end|>",
                "<|endof x <|endoftex", "x<|end|>\n<|end|> y")
    yield from (PROSE, CODE, OTHER)


def mixed(chance, size):
    """A text of that many bytes, with all that is awkward."""
    words = (PROSE + CODE).split()
    pieces = []
    total = 0
    while total < size:
        kind = chance.randrange(12)
        if kind < 4:
            piece = " ".join(chance.choices(words, k=chance.randrange(1, 60)))
        elif kind == 4:
            piece = chance.choice([PROSE, CODE, OTHER])
        elif kind == 5:
            piece = chance.choice(" \n\t\r-=a0.,'\u00a0\u3000é字") * int(2 ** chance.uniform(0, 12))
        elif kind == 6:
            piece = "".join(chance.choices(OTHER, k=chance.randrange(200)))
        elif kind == 7:
            piece = "".join(chance.choices(" \n\r\t'sStlrevmd019.,ſ", k=chance.randrange(200)))
        elif kind == 8:
            piece = chance.choice(["", " ", "  \n", "\u3000", "x"]).join([""] + [t.content for t in SPECIAL] + [""])
        elif kind == 9:
            piece = "".join(chr(chance.choice([chance.randrange(0x3000), chance.randrange(0x10300, 0x10500)]))
                            for _ in range(chance.randrange(100)))
            piece = "".join(c for c in piece if known(c))
        elif kind == 10:
            piece = str(chance.randrange(10 ** chance.randrange(1, 30)))
        else:
            piece = chance.choice(["\r\n", "\n", "\r", " ", "\t"]) * chance.randrange(1, 5)
        pieces.append(piece)
        total += len(piece.encode())
    return "".join(pieces)


def known(c):
    """Assigned in Unicode 3.2: what came late is a letter for one library and not yet for another."""
    return unicodedata.ucd_3_2_0.category(c) not in ("Cn", "Cs")


def write(directory):
    vocab, merges = train(640)
    rows = [{"text": text} for text in cases()]
    for name in GOLDEN:
        tokenizer = make(vocab, merges, name, SPECIAL[:PLAIN])
        with open(os.path.join(directory, f"bpe_{name}.json"), "w", encoding="utf-8", newline="") as file:
            file.write(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n")
        for row in rows:
            row[name] = tokenizer.encode(row["text"], add_special_tokens=False).ids
    with open(os.path.join(directory, "bpe_cases.json"), "w", encoding="ascii") as file:
        file.write("[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n")


def verify(directory):
    with open(os.path.join(directory, "bpe_cases.json"), encoding="ascii") as file:
        rows = json.load(file)
    if [row["text"] for row in rows] != list(cases()):
        return "bpe_cases.json: other texts than this script's"
    for name in GOLDEN:
        tokenizer = Tokenizer.from_file(os.path.join(directory, f"bpe_{name}.json"))
        for i, row in enumerate(rows):
            if tokenizer.encode(row["text"], add_special_tokens=False).ids != row[name]:
                return f"bpe_{name}.json: other ids of text {i}"
    return None


def first_difference(ours, theirs):
    n = min(len(ours), len(theirs))
    differs = np.nonzero(ours[:n] != theirs[:n])[0]
    return int(differs[0]) if len(differs) else n


def hold(program, folder, name, path, tokenizer, text, back):
    ids = os.path.join(folder, "ids")
    source = os.path.join(folder, "text")
    with open(source, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    done = subprocess.run([program, path, source, ids], capture_output=True, text=True)
    if done.returncode != 0:
        print(f"{name}: {done.stderr.strip()}  WRONG")
        return 1
    ours, encoding = np.fromfile(ids, np.uint32), tokenizer.encode(text, add_special_tokens=False)
    theirs = np.array(encoding.ids, np.uint32)
    good = len(ours) == len(theirs) and (ours == theirs).all() and (done.stdout == "back\n" or not back)
    print(f"{name}: {len(text.encode())} bytes, {len(theirs)} tokens{'' if good else '  WRONG'}")
    if not good:
        at = first_difference(ours, theirs)
        place = encoding.offsets[min(at, len(theirs) - 1)][0]
        print(f"  token {at}: {ours[at:at + 8]} for {theirs[at:at + 8]} in {text[max(0, place - 20):place + 20]!r}; "
              f"{done.stdout.strip()}")
    return 0 if good else 1


def hold_all(program, gpt2):
    program = os.path.abspath(program)
    wrong = 0
    vocab, merges = train(1500)
    text = mixed(random.Random(2385), 1000000)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tokenizer.json")
        for name in KINDS:
            tokenizer = make(vocab, merges, name, SPECIAL)
            tokenizer.save(path)
            wrong += hold(program, folder, name, path, tokenizer, text, False)
            tokenizer = make(vocab, merges, name, SPECIAL[:PLAIN])
            tokenizer.save(path, pretty=False)
            wrong += hold(program, folder, name + ", no blank lost", path, tokenizer, text, "blank" not in name)
        if gpt2 is None:
            print("GPT-2's own vocabulary: no directory given, skipped")
        else:
            tokenizer = Tokenizer(models.BPE.from_file(os.path.join(gpt2, "vocab.json"), os.path.join(gpt2, "merges.txt")))
            tokenizer.pre_tokenizer = byte_level(True)
            tokenizer.add_special_tokens(SPECIAL[:1])
            wrong += hold(program, folder, "GPT-2", gpt2, tokenizer, text, True)
    return 1 if wrong else 0


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "verify":
        sys.exit(verify(sys.argv[2]))
    if len(sys.argv) == 3 and sys.argv[1] == "write":
        sys.exit(write(sys.argv[2]))
    usage.check_count(__doc__, 1, 2)
    if not os.access(sys.argv[1], os.X_OK):
        usage.refuse(__doc__, f"'{sys.argv[1]}' is neither write nor verify nor a program")
    sys.exit(hold_all(sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else None))


if __name__ == "__main__":
    main()
