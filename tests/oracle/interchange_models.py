#!/usr/bin/env python3
"""Model directories, exchanged with Hugging Face transformers in both directions.

    python3 interchange_models.py LOGITS

LOGITS is the program built from logits.c. Directories that transformers saves are opened here, and directories that are
saved here are opened by transformers; the logits of every position must agree to 1e-4 in fp32, computed from the whole past
and with the key/value cache; those of bert alone and padded. Needs torch and transformers.
"""
import json
import os
import subprocess
import sys
import tempfile

import torch
import transformers

import usage

TOLERANCE = 1e-4
TOKENS = [5, 17, 0, 31, 2, 2, 58, 44, 9, 23, 60]

# Stretched rotary positions; lengths first trained with are short, so that eleven tokens tell them apart.
ROPES = {
    "linear": {"rope_type": "linear", "factor": 2.5},
    "dynamic": {"rope_type": "dynamic", "factor": 3.0},
    "llama3": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.25, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 23},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    "yarn, all said": {"rope_type": "yarn", "factor": 3.0, "original_max_position_embeddings": 19, "beta_fast": 2.5,
                       "beta_slow": 0.3, "mscale": 0.7, "mscale_all_dim": 1.9, "truncate": False},
    "yarn, attention_factor": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16,
                               "attention_factor": 1.37},
}

THEIRS = {
    "gpt2 tied": (transformers.GPT2LMHeadModel, transformers.GPT2Config(
        vocab_size=61, n_positions=13, n_embd=24, n_layer=3, n_head=4)),
    "gpt2 untied, n_inner": (transformers.GPT2LMHeadModel, transformers.GPT2Config(
        vocab_size=67, n_positions=32, n_embd=40, n_layer=2, n_head=5, n_inner=56, tie_word_embeddings=False,
        layer_norm_epsilon=3e-4, activation_function="gelu_pytorch_tanh")),
    "llama": (transformers.LlamaForCausalLM, transformers.LlamaConfig(
        vocab_size=61, max_position_embeddings=16, hidden_size=32, intermediate_size=72, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4)),
    "llama, grouped queries, tied": (transformers.LlamaForCausalLM, transformers.LlamaConfig(
        vocab_size=63, max_position_embeddings=24, hidden_size=48, intermediate_size=80, num_hidden_layers=3,
        num_attention_heads=6, num_key_value_heads=2, tie_word_embeddings=True, rms_norm_eps=2e-5)),
    "llama, one key head, head_dim": (transformers.LlamaForCausalLM, transformers.LlamaConfig(
        vocab_size=62, max_position_embeddings=24, hidden_size=36, intermediate_size=40, num_hidden_layers=2,
        num_attention_heads=3, num_key_value_heads=1, head_dim=16,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0})),
    "llama, biases": (transformers.LlamaForCausalLM, transformers.LlamaConfig(
        vocab_size=61, max_position_embeddings=16, hidden_size=32, intermediate_size=72, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, attention_bias=True, mlp_bias=True)),
    **{f"llama, {name}": (transformers.LlamaForCausalLM, transformers.LlamaConfig(
        vocab_size=61, max_position_embeddings=64, hidden_size=64, intermediate_size=40, num_hidden_layers=2,
        num_attention_heads=2, rope_parameters={"rope_theta": 300.0, **rope})) for name, rope in ROPES.items()},
    "bert": (transformers.BertForMaskedLM, transformers.BertConfig(
        vocab_size=61, max_position_embeddings=16, hidden_size=32, intermediate_size=72, num_hidden_layers=3,
        num_attention_heads=4)),
    "bert untied, segments, eps": (transformers.BertForMaskedLM, transformers.BertConfig(
        vocab_size=67, max_position_embeddings=21, hidden_size=30, intermediate_size=44, num_hidden_layers=2,
        num_attention_heads=5, type_vocab_size=3, tie_word_embeddings=False, layer_norm_eps=3e-4)),
}

OURS = {
    "gpt2": "gpt2 F32 11 vocab 61 layers 2 heads 4 width 32 context 16",
    "gpt2 untied, hidden": "gpt2 F32 12 vocab 66 layers 3 heads 2 width 28 context 12 tied 0 hidden 50 eps 2e-4 dropout 0.3",
    "llama": "llama F32 13 vocab 61 layers 2 heads 4 width 32 context 16",
    "llama, grouped queries, tied": "llama F32 14 vocab 64 layers 2 heads 6 kv_heads 3 width 48 context 16 tied 1 rope_theta 731.5",
    "llama, head_dim": "llama F32 15 vocab 61 layers 2 heads 3 kv_heads 1 head_dim 10 width 33 context 16 hidden 45",
    "bert": "bert F32 18 vocab 61 layers 2 heads 4 width 32 context 16",
    "bert untied": "bert F32 19 vocab 66 layers 3 heads 2 width 28 context 12 tied 0 hidden 50 segments 1 dropout 0.2",
    "bert in bf16": "bert BF16 20 vocab 61 layers 2 heads 4 width 32 context 16",
    "gpt2 in bf16": "gpt2 BF16 16 vocab 61 layers 2 heads 4 width 32 context 16",
    "llama in bf16": "llama BF16 17 vocab 61 layers 2 heads 4 kv_heads 2 width 32 context 16",
}


def theirs(directory):
    with open(os.path.join(directory, "config.json"), encoding="utf-8") as file:
        masked = json.load(file)["model_type"] == "bert"
    kind = transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
    model = kind.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager")
    model.eval()
    with torch.no_grad():
        return model(torch.tensor([TOKENS])).logits[0]


def ours(program, mode, directory):
    lines = subprocess.run([program, mode, directory, *map(str, TOKENS)], check=True, text=True,
                           stdout=subprocess.PIPE).stdout.splitlines()
    return torch.tensor([[float(x) for x in line.split()] for line in lines])


def rewritten(program, name, directory):
    """Saved by tiger once more, and opened by transformers."""
    again = directory + "again"
    wanted = theirs(directory)
    subprocess.run([program, "copy", directory, again], check=True)
    error = (theirs(again) - wanted).abs().max().item()
    print(f"{'ok  ' if error <= TOLERANCE else 'FAIL'} {name}, saved again: largest difference {error:.2e}")
    return error <= TOLERANCE


def compare(program, name, directory):
    wanted = theirs(directory)
    good = True
    for mode in ("full", "cached"):
        got = ours(program, mode, directory)
        error = float("inf") if got.shape != wanted.shape else (got - wanted).abs().max().item()
        good = good and error <= TOLERANCE
        print(f"{'ok  ' if error <= TOLERANCE else 'FAIL'} {name}, {mode}: largest difference {error:.2e}"
              f" of logits up to {wanted.abs().max().item():.2f}")
    return good


def save_theirs(kind, config, directory):
    torch.manual_seed(4711)
    model = kind(config)
    with torch.no_grad():  # fresh biases are 0 and gains 1: mistakes would not show
        for parameter in model.parameters():
            parameter += 0.137 * torch.randn_like(parameter)
    model.save_pretrained(directory)


def main(program):
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    good = True
    with tempfile.TemporaryDirectory() as top:
        for number, (name, (kind, config)) in enumerate(THEIRS.items()):
            directory = os.path.join(top, f"theirs{number}")
            save_theirs(kind, config, directory)
            good = compare(program, f"saved by transformers: {name}", directory) and good
            good = rewritten(program, name, directory) and good
        for number, (name, command) in enumerate(OURS.items()):
            directory = os.path.join(top, f"ours{number}")
            os.mkdir(directory)
            subprocess.run([program, "create", directory, *command.split()], check=True)
            good = compare(program, f"saved by tiger: {name}", directory) and good
    return 0 if good else 1


if __name__ == "__main__":
    usage.check_count(__doc__, 1, 1)
    sys.exit(main(sys.argv[1]))
