#!/usr/bin/env python3
"""WordPiece, and what tokenizers put around a text: the ids of Hugging Face tokenizers.

    wordpiece.py PROGRAM    holds tests/oracle/tokenize.c against tokenizers: on 1 MB of mixed text for every normalizer,
                            on every character alone, with vocab.txt against transformers, and for every post_processor

Characters of newer Unicode versions than 3.2 are left out, and those whose category has changed: what is a mark or a
punctuation for one library need not be for the other.
"""
import os
import random
import subprocess
import sys
import tempfile

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import bpe
import usage

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHANGED = "\u166d\u1734\u1885\u1886"
NORMALIZERS = {
    "uncased": normalizers.BertNormalizer(),
    "cased": normalizers.BertNormalizer(lowercase=False),
    "lower, accents kept": normalizers.BertNormalizer(strip_accents=False),
    "accents stripped, cased": normalizers.BertNormalizer(lowercase=False, strip_accents=True),
    "not cleaned": normalizers.BertNormalizer(clean_text=False),
    "Chinese together": normalizers.BertNormalizer(handle_chinese_chars=False),
    "none": None,
}
LATE = [AddedToken("Tiger", special=False, normalized=True), AddedToken("<Kept>", special=False, normalized=False),
        AddedToken("<l>", special=True, normalized=False, lstrip=True)]


def template(single, **ids):
    return processors.TemplateProcessing(single=single, pair=single + " $B", special_tokens=list(ids.items()))


PROCESSORS = {
    "none": None,
    "byte level": processors.ByteLevel(trim_offsets=False),
    "begin": template("<a> $A", **{"<a>": 700}),
    "begin and end": template("<a> <b> $A <b>", **{"<a>": 700, "<b>": 701}),
    "bert": processors.BertProcessing(("<b>", 701), ("<a>", 700)),
    "roberta": processors.RobertaProcessing(("<b>", 701), ("<a>", 700)),
    "sequence": processors.Sequence([processors.ByteLevel(trim_offsets=False), template("<a> $A", **{"<a>": 700})]),
}


def make(vocab, normalizer):
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=40))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"]))
    tokenizer.add_special_tokens(SPECIAL)
    for token in LATE:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    return tokenizer


def train():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=1500, special_tokens=SPECIAL, show_progress=False)
    text = [bpe.PROSE] * 3 + [bpe.CODE] * 2 + [bpe.OTHER.replace("\0", "")] * 2  # JSON's keys have no U+0000 here
    tokenizer.train_from_iterator(text + [line.lower() for line in text], trainer)
    return tokenizer.get_vocab()


def ours(program, tokenizer, text, *framed):
    with tempfile.TemporaryDirectory() as top:
        paths = [os.path.join(top, name) for name in ("text", "ids")]
        with open(paths[0], "w", encoding="utf-8", newline="") as file:
            file.write(text)
        subprocess.run([program, tokenizer, *paths, *framed], check=True, stdout=subprocess.PIPE)
        return np.fromfile(paths[1], dtype="<u4").tolist()


def same(name, got, wanted):
    where = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
    good = got == wanted
    print(f"{'ok  ' if good else 'FAIL'} {name}: {len(wanted)} ids" +
          ("" if good else f"; number {where} is {got[where:where + 5]}, not {wanted[where:where + 5]}"))
    return good


def every_character():
    return without_changed("\n".join(f"a{chr(c)}b {chr(c)}" for c in range(0x110000) if bpe.known(chr(c))))


def without_changed(text):
    return text.translate(dict.fromkeys(map(ord, CHANGED)))


def compare(program, path, vocab):
    text = without_changed(bpe.mixed(random.Random(11), 1 << 20)) + "Tiger TIGER xTigér  <Kept><l> İstanbul İ Σας [MASK] [ MASK ] [mask]"
    good = True
    for name, normalizer in NORMALIZERS.items():
        tokenizer = make(vocab, normalizer)
        tokenizer.save(path)
        for kind, one in (("mixed text", text), ("every character", every_character())):
            good = same(f"{name}, {kind}", ours(program, path, one, "framed"), tokenizer.encode(one).ids) and good
    return good


def compare_vocabulary(program, directory, vocab):
    """vocab.txt alone, as transformers reads it."""
    import transformers
    for options in ({}, {"do_lower_case": False}, {"strip_accents": False, "tokenize_chinese_chars": False}):
        with open(os.path.join(directory, "vocab.txt"), "w", encoding="utf-8") as file:
            file.write("".join(token + "\n" for token, _ in sorted(vocab.items(), key=lambda pair: pair[1])))
        with open(os.path.join(directory, "tokenizer_config.json"), "w", encoding="utf-8") as file:
            file.write(repr(options).replace("'", '"').replace("False", "false"))
        text = without_changed(bpe.mixed(random.Random(12), 1 << 18))
        theirs = transformers.BertTokenizer.from_pretrained(directory)
        if not same(f"vocab.txt {options}", ours(program, directory, text, "framed"), theirs(text).input_ids):
            return False
    return True


def compare_processors(program, path):
    vocab, merges = bpe.train(640)
    good = True
    for name, processor in PROCESSORS.items():
        tokenizer = bpe.make(vocab, merges, "gpt2", [])
        tokenizer.add_special_tokens([f"<{i}>" for i in range(700 - len(vocab))] + ["<a>", "<b>"])
        if processor is not None:
            tokenizer.post_processor = processor
        tokenizer.save(path)
        good = same(f"post_processor: {name}", ours(program, path, bpe.PROSE, "framed"), tokenizer.encode(bpe.PROSE).ids) and good
    return good


def main(program):
    vocab = train()
    with tempfile.TemporaryDirectory() as top:
        good = compare(program, os.path.join(top, "tokenizer.json"), vocab)
        os.mkdir(os.path.join(top, "bert"))
        good = compare_vocabulary(program, os.path.join(top, "bert"), vocab) and good
        return 0 if compare_processors(program, os.path.join(top, "tokenizer.json")) and good else 1


if __name__ == "__main__":
    usage.check_count(__doc__, 1, 1)
    sys.exit(main(sys.argv[1]))
