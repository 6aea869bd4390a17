#!/usr/bin/env bash
# llama_5b.sh -- a Llama of 5 billion parameters, all of them trained in bf16 with Tiger in less than 22 GiB: weights and
# momentum are 20 GB of that. Random weights, width 4096, 26 layers, grouped queries, SwiGLU, vocabulary 48000, untied. Prints
# the plan, makes updates of 16 micro-batches at a context of 32, and holds the measured peak to the plan.
#
#   bench/llama_5b.sh [FLAGS OF tiger train]
#
# TIGER names the command (build/tiger), LAYERS the number of blocks (26; fewer for a trial on a smaller machine: 4 are 1.1
# billion parameters), UPDATES how many updates (1). Nothing is saved: --no-save. The momentum of tokens that the text does not
# have is planned and never touched: with few layers that is more than 5 % of the whole.
set -euo pipefail
tiger=${TIGER:-build/tiger}
layers=${LAYERS:-26}
[ -x "$tiger" ] || { echo "llama_5b.sh: no command $tiger: build it with ./run build, or set TIGER" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The text hardly matters: numbers in words of no language, the same every time.
awk 'BEGIN { s = 2385; for (i = 0; i < 40000; i++) { s = (s * 1103515245 + 12345) % 2147483648; printf "%d%s", s % 9973, i % 11 ? " " : ".\n" } }' > "$work/text"
shape=(--model llama --layers "$layers" --heads 32 --kv-heads 8 --width 4096 --hidden 11008 --vocab 48000 --tied off
    --context 32 --batch 1 --accumulate 16 --precision bf16 --optimizer tiger --tokenizer byte)

echo "machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) threads, load $(cut -d' ' -f1-3 /proc/loadavg)"
grep -E '^(MemTotal|MemAvailable)' /proc/meminfo
echo "== tiger plan ${shape[*]} $*"
"$tiger" plan --data "$work/text" "${shape[@]}" "$@"
echo "== tiger train ... --updates ${UPDATES:-1} --no-save"
SECONDS=0
"$tiger" train --data "$work/text" --out "$work/run" "${shape[@]}" --updates "${UPDATES:-1}" --eval-every 0 --eval-batches 1 \
    --log-every 1 --schedule constant --no-save "$@" | tee "$work/log" | grep -E '^(update|validation|[0-9]+ updates|peak)'
echo "whole run: $SECONDS s"
awk '/^peak memory/ {
    if (match($0, /[+-][0-9.]+ %/)) {
        off = substr($0, RSTART, RLENGTH - 2) + 0
        if (off > 5 || off < -5) { print "the plan is more than 5 % off"; exit 1 }
        print "the plan is within 5 %"
    }
}' "$work/log"
