#!/usr/bin/env python3
"""Makes the seeds of the fuzz targets that read GGUF files, indexes, WordPiece vocabularies, searches of minimizers
and journals of studies: corpus/engine_gguf, engine_gguf_model, engine_index, engine_wordpiece, engine_vocabulary, minimizer
and engine_journal; and the WordPiece
ones of engine_tokenizer.

    corpus.py           writes them anew
"""
import json
import struct
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
NUMBERS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q", I64: "q", F64: "d"}
SIZES = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
         11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 16: (256, 66), 30: (1, 2)}


def text(value):
    value = value.encode()
    return struct.pack("<Q", len(value)) + value


def value(kind, content):
    if kind == STRING:
        return text(content)
    if kind == ARRAY:
        element, items = content
        return struct.pack("<IQ", element, len(items)) + b"".join(value(element, item) for item in items)
    return struct.pack("<" + NUMBERS[kind], content)


def gguf(pairs=(), tensors=(), version=3, alignment=32, offsets=None):
    """A whole file; tensors are (name, sizes with the fastest first, type)."""
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs))
    for key, kind, content in pairs:
        out += text(key) + struct.pack("<I", kind) + value(kind, content)
    data = b""
    for number, (name, sizes, kind) in enumerate(tensors):
        data += b"\0" * (-len(data) % alignment)
        offset = len(data) if offsets is None else offsets[number]
        out += text(name) + struct.pack("<I", len(sizes)) + struct.pack(f"<{len(sizes)}Q", *sizes)
        out += struct.pack("<IQ", kind, offset)
        values, count = SIZES[kind]
        total = count
        for size in sizes:
            total *= size
        data += bytes((37 * i + 11) % 256 for i in range(total // values))
    return out + (b"\0" * (-len(out) % alignment) + data if tensors else b"")


EVERY = [("u8", U8, 201), ("i8", I8, -77), ("u16", U16, 51966), ("i16", I16, -12345), ("u32", U32, 4000000000),
         ("i32", I32, -7), ("f32", F32, 2.385), ("bool", BOOL, True), ("text", STRING, "caf\u00e9\n"),
         ("u64", U64, 2**63 + 5), ("i64", I64, -2**62), ("f64", F64, -1e-300),
         ("texts", ARRAY, (STRING, ["a", "", "tiger"])), ("numbers", ARRAY, (I16, [3, -4, 5])),
         ("nested", ARRAY, (ARRAY, [(U8, [1, 2]), (STRING, ["x"])])), ("truths", ARRAY, (BOOL, [True, False]))]

FILES = {
    "empty": gguf(),
    "values": gguf(EVERY),
    "version2": gguf([("general.architecture", STRING, "llama")], [("t", [3, 2], 0)], version=2),
    "alignment": gguf([("general.alignment", U32, 8)], [("a", [3], 1), ("b", [5], 0)], alignment=8),
    "blocks": gguf([], [(f"t{kind}", [SIZES[kind][0]], kind) for kind in sorted(SIZES)]),
    "rank4": gguf([], [("t", [32, 2, 1, 3], 2), ("none", [0, 7], 0)]),
    "overlap": gguf([], [("a", [16], 0), ("b", [16], 0)], offsets=[0, 32]),
    "hole": gguf([], [("a", [8], 0), ("b", [8], 0)], offsets=[0, 64]) + b"\1" * 32,
    "twice": gguf([], [("a", [8], 0), ("a", [8], 0)]),
    "short": gguf([], [("a", [64], 0)])[:-9],
    "count": b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**61),
    "overflow": gguf([], [("a", [5, 7], 0)]).replace(struct.pack("<QQ", 5, 7), struct.pack("<QQ", 2**40, 2**40)),
    "big_endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
}

LETTERS = [chr(c) for c in range(0x21, 0x7f)] + ["\u0120", "\u0120t", "he", "\u0120the", "<s>", "</s>"]


def model(*pairs, name="gpt2"):
    """A small model's metadata, with a tokenizer, and its token table."""
    return gguf([("general.architecture", STRING, name), (f"{name}.block_count", U32, 2), (f"{name}.context_length", U32, 16),
                 (f"{name}.embedding_length", U32, 8), (f"{name}.feed_forward_length", U32, 24),
                 (f"{name}.attention.head_count", U32, 2), (f"{name}.attention.layer_norm_epsilon", F32, 1e-5),
                 (f"{name}.attention.layer_norm_rms_epsilon", F32, 1e-5),
                 ("tokenizer.ggml.model", STRING, "gpt2"), ("tokenizer.ggml.tokens", ARRAY, (STRING, LETTERS)),
                 ("tokenizer.ggml.merges", ARRAY, (STRING, ["h e", "\u0120 t", "\u0120t he"])), *pairs],
                [("token_embd.weight", [8, len(LETTERS)], 0)])


TYPES = ("tokenizer.ggml.token_type", ARRAY, (I32, [1] * (len(LETTERS) - 2) + [3, 3]))
MODELS = {
    "plain": model(),
    "llama": model(TYPES, ("tokenizer.ggml.pre", STRING, "llama-bpe"), ("tokenizer.ggml.bos_token_id", U32, len(LETTERS) - 2),
                   ("tokenizer.ggml.eos_token_id", U32, len(LETTERS) - 1), ("tokenizer.ggml.add_bos_token", BOOL, True),
                   ("tokenizer.chat_template", STRING, "{{ messages }}"), name="llama"),
    "no_bos": model(TYPES, ("tokenizer.ggml.pre", STRING, "smollm"), ("tokenizer.ggml.add_bos_token", BOOL, False),
                    ("tokenizer.ggml.add_space_prefix", BOOL, True)),
    "unknown_cut": model(("tokenizer.ggml.pre", STRING, "tekken")),
    "short_types": model(("tokenizer.ggml.token_type", ARRAY, (I32, [1, 3]))),
    "bad_merge": model().replace(b"h e", b"hxe"),
}

BERT = ('{"added_tokens":[{"id":2,"content":"[C]","special":true}],"normalizer":{"type":"BertNormalizer","clean_text":true,'
        '"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},'
        '"post_processor":%s,"decoder":{"type":"WordPiece","prefix":"##","cleanup":true},"model":{"type":"WordPiece",'
        '"unk_token":"u","continuing_subword_prefix":"##","max_input_chars_per_word":9,"vocab":{"u":0,"t":1,"[C]":2,"##he":3}}}')
TEMPLATE = ('{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[C]","type_id":0}},{"Sequence":{"id":"A",'
            '"type_id":0}},{"SpecialToken":{"id":"[C]","type_id":0}}],"pair":[],"special_tokens":{"[C]":{"id":"[C]","ids":[2],'
            '"tokens":["[C]"]}}}')
TOKENIZERS = {
    "wordpiece": BERT % "null",
    "wordpiece_template": BERT % TEMPLATE,
    "wordpiece_bert": BERT % '{"type":"BertProcessing","cls":["[C]",2],"sep":["t",1]}',
    "wordpiece_sequence": BERT % ('{"type":"Sequence","processors":[{"type":"ByteLevel"},%s]}' % TEMPLATE),
    "wordpiece_deep": BERT % ('{"type":"Sequence","processors":[' * 12 + "]}" * 12),
    "wordpiece_no_id": BERT % '{"type":"RobertaProcessing","cls":["[C]",99],"sep":["t",1]}',
}
TEXTS = {"words": "\1abab ab.e\u0301 ABE\u0301", "chinese": "\2a\u4e00b\u4e00", "special": "\0  [M]ab[M]Ab", "control": "\3a\u200bb\0\t",
         "long": "\1" + "ab" * 9, "plain": "\0ab##ab"}
def journal(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def distribution(name, **attributes):
    return json.dumps({"name": name, "attributes": attributes})


LR = distribution("FloatDistribution", step=None, low=1e-5, high=0.5, log=True)
SCALE = distribution("CategoricalDistribution", choices=["rms", "none"])
STUDY = {"op_code": 0, "worker_id": "w", "study_name": "t", "directions": [1]}
TRIAL = {"op_code": 4, "worker_id": "w", "study_id": 0, "datetime_start": "2026-01-01T00:00:00.000000"}
JOURNALS = {
    "run": journal(STUDY, {"op_code": 2, "study_id": 0, "user_attr": {"settings": "x"}}, TRIAL,
                   {"op_code": 5, "trial_id": 0, "param_name": "lr", "param_value_internal": 0.02, "distribution": LR},
                   {"op_code": 5, "trial_id": 0, "param_name": "scale", "param_value_internal": 1, "distribution": SCALE},
                   {"op_code": 7, "trial_id": 0, "step": 3, "intermediate_value": float("nan")},
                   {"op_code": 6, "trial_id": 0, "state": 1, "values": [float("inf")]}, TRIAL,
                   {"op_code": 6, "trial_id": 1, "state": 3, "values": None}),
    "whole": journal(STUDY, TRIAL | {"state": 2, "values": [2.5], "params": {"lr": 0.04, "scale": 0},
                                     "distributions": {"lr": LR, "scale": SCALE}, "intermediate_values": {"7": 2.5}},
                     TRIAL | {"state": 4, "system_attrs": {"fixed_params": {"lr": 0.03, "scale": "none"}}}),
    "deleted": journal(STUDY, TRIAL, {"op_code": 1, "study_id": 0}, STUDY | {"study_name": "u"}, STUDY, TRIAL | {"study_id": 2}),
    "maximises": journal(STUDY | {"directions": [2]}),
    "torn": journal(STUDY, TRIAL)[:-9],
    "no_journal": "lr,loss\n",
    "operation": journal(STUDY, {"op_code": 10}),
}
VOCABULARIES = {"bert": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n##den\nlion\n'\ns\n", "no_unknown": "a\nb\n",
                "windows": "[UNK]\r\na\r\n", "twice": "[UNK]\na\na\n\n", "blank": "[UNK]\n## a\n a\n##\n"}

INDEXES = {
    "two": '{"metadata": {"total_size": 96}, "weight_map": {"a": "model-00001-of-00002.safetensors", '
           '"b": "model-00002-of-00002.safetensors", "c": "model-00001-of-00002.safetensors"}}',
    "path": '{"weight_map": {"a": "../model.safetensors"}}',
    "number": '{"weight_map": {"a": 1}}',
    "empty": '{"weight_map": {}}',
    "none": '{"metadata": {}}',
}

METHODS = ["gd", "cg", "lbfgs", "newton", "newton_cg", "natgrad", "hybrid", "anneal", "genetic", "cmaes"]


def search(method=0, tag="tiger-minimizer-1", counts=38):
    """A file of a search with gd of 3 variables, after two iterations; arrays are padded to 8."""
    x = struct.pack("<8d", 0.385, -0.77, 1.3, *[0.0] * 5)
    arrays = {"counts": ("U64", struct.pack(f"<{counts}Q", 2, 5, *[0] * 6, 1, 0, 0, 0, *[0] * (counts - 12))),
              "numbers": ("F64", struct.pack("<28d", 1.75, 2.5, 0.25, 0.5, *[0.0] * 24))}
    arrays |= {name: ("F64", x) for name in ("x", "gradient")}
    header, at = {"__metadata__": {"format": tag, "minimizer": "gd"}}, 0
    for name, (kind, data) in arrays.items():
        header[name] = {"dtype": kind, "shape": [len(data) // 8], "data_offsets": [at, at + len(data)]}
        at += len(data)
    line = json.dumps(header, separators=(",", ":")).encode()
    line += b" " * (-len(line) % 64)
    return bytes([method]) + struct.pack("<Q", len(line)) + line + b"".join(data for _, data in arrays.values())


# Behind a method and the high bit nothing but zeros: what it saves itself, as it is.
SEARCHES = {f"saved_{name}": bytes([0x80 | number]) + bytes(640) for number, name in enumerate(METHODS)}
SEARCHES |= {"gd": search(), "of_another": search(method=1), "tag": search(tag="tiger-minimizer-0"), "short": search(counts=37)}


def main():
    for folder, files in (("engine_gguf", FILES), ("engine_index", INDEXES), ("engine_gguf_model", MODELS),
                          ("engine_wordpiece", TEXTS), ("engine_vocabulary", VOCABULARIES), ("engine_tokenizer", TOKENIZERS),
                          ("minimizer", SEARCHES), ("engine_journal", JOURNALS)):
        (CORPUS / folder).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (CORPUS / folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


if __name__ == "__main__":
    main()
