#!/usr/bin/env python3
"""Golden tokenizer.json files, made by Hugging Face tokenizers itself; tiger must write the same bytes.

    tokenizer_files.py write DIR    writes DIR/tokenizer_text.txt, tokenizer_byte.json and tokenizer_char.json
    tokenizer_files.py verify DIR   makes them anew and compares; the files must give the ids and the text back
"""
import json
import os
import sys

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

import usage

TEXT = "Straße\n\r\n\t\"q\\\" /€5 𝄞 à la  a\u0301 \x7f\x01<unk>\u2028\u2029\u0085\ufeff\uffff\U0010ffff"


def byte_names():
    """GPT-2's: printable Latin-1 stands for itself, the others get the characters from U+0100 on."""
    own = set(range(0x21, 0x7F)) | set(range(0xA1, 0xAD)) | set(range(0xAE, 0x100))
    spare = iter(range(0x100, 0x200))
    return [chr(b if b in own else next(spare)) for b in range(256)]


def byte_tokenizer():
    tokenizer = Tokenizer(models.BPE({name: b for b, name in enumerate(byte_names())}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def char_tokenizer():
    vocab = {c: i for i, c in enumerate(sorted(set(TEXT)))}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def files():
    return {"tokenizer_text.txt": TEXT, "tokenizer_byte.json": byte_tokenizer().to_str(pretty=True),
            "tokenizer_char.json": char_tokenizer().to_str(pretty=True)}


def holds(new, old):
    """Whether all of `old` is in `new`: a later release may write keys that this one did not know."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and holds(new[key], value) for key, value in old.items())
    return new == old


def verify(directory):
    for name, text in files().items():
        with open(os.path.join(directory, name), encoding="utf-8", newline="") as file:
            golden = file.read()
        if not (holds(json.loads(text), json.loads(golden)) if name.endswith(".json") else text == golden):
            return f"{name}: differs from what Hugging Face tokenizers writes"
    order = sorted(set(TEXT))
    for name, ids in (("byte", list(TEXT.encode())), ("char", [order.index(c) for c in TEXT])):
        tokenizer = Tokenizer.from_file(os.path.join(directory, f"tokenizer_{name}.json"))
        if tokenizer.encode(TEXT).ids != ids or tokenizer.decode(ids) != TEXT:
            return f"tokenizer_{name}.json: other ids or another text"
    return None


def main():
    usage.check_count(__doc__, 2, 2)
    usage.check_words(__doc__, "word", sys.argv[1:2], ("write", "verify"))
    if sys.argv[1] == "verify":
        sys.exit(verify(sys.argv[2]))
    for name, text in files().items():
        with open(os.path.join(sys.argv[2], name), "w", encoding="utf-8", newline="") as file:
            file.write(text)


if __name__ == "__main__":
    main()
