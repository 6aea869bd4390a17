#!/usr/bin/env bash
# small_recipe.sh -- the well-known small CPU recipe: 4 layers, 4 heads, width 128, context 64, batch 12, 2000 updates, no
# dropout, characters, 90/10 split; AdamW, Tiger, and Tiger in bf16 (4 bytes a parameter), each from several seeds.
#
#   bench/small_recipe.sh FILE [SEED ...]        (seeds 1 2 3 when none are given)
#
# Prints the validation losses, their means and the updates a second. TIGER names the command (build/tiger), UPDATES the
# number of updates, EVAL_BATCHES the batches of the validation text that are read (0: all of it).
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
file=$1
shift
seeds=("$@")
[ ${#seeds[@]} -gt 0 ] || seeds=(1 2 3)
tiger=${TIGER:-build/tiger}
updates=${UPDATES:-2000}
[ -r "$file" ] || { echo "small_recipe.sh: cannot read $file" >&2; exit 1; }
[ -x "$tiger" ] || { echo "small_recipe.sh: no command $tiger: build it with ./run build, or set TIGER" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

common=(--data "$file" --layers 4 --heads 4 --width 128 --context 64 --batch 12 --updates "$updates" --tokenizer char
    --dropout 0 --schedule "warmup:100 > cosine:min=0.1" --eval-every "$updates" --save-every "$updates"
    --eval-batches "${EVAL_BATCHES:-0}")
declare -A recipe=(
    [adamw]="--optimizer adamw --lr 1e-3 --beta1 0.9 --beta2 0.99 --weight-decay 0.1"
    [tiger]="--optimizer tiger --lr 1e-2 --bias-lr 0.05 --beta 0.965 --weight-decay 0.01"
    [tiger-bf16]="--optimizer tiger --lr 1e-2 --bias-lr 0.05 --beta 0.965 --weight-decay 0.01 --precision bf16"
)

run() { # RECIPE SEED: prints the validation loss and the updates a second
    local log=$work/$1-$2.log begin end
    begin=$(date +%s.%N)
    # shellcheck disable=SC2086
    "$tiger" train "${common[@]}" ${recipe[$1]} --seed "$2" --out "$work/$1-$2" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
    end=$(date +%s.%N)
    sed -n 's/^validation loss \([0-9.]*\).*/\1/p' "$log" | tail -n 1 |
        awk -v u="$updates" -v b="$begin" -v e="$end" '{ printf "%s %.1f\n", $1, u / (e - b) }'
    rm -rf "${work:?}/$1-$2"
}

for name in adamw tiger tiger-bf16; do
    echo "$name: $tiger train ${common[*]@Q} ${recipe[$name]}"
done
printf '\n%-12s' recipe
printf ' seed %-6s' "${seeds[@]}"
printf ' %8s %10s\n' mean updates/s
for name in adamw tiger tiger-bf16; do
    printf '%-12s' "$name"
    losses=() rates=()
    for seed in "${seeds[@]}"; do
        result=$(run "$name" "$seed")
        losses+=("${result% *}") rates+=("${result#* }")
        printf ' %-11s' "${result% *}"
    done
    printf '%s\n' "${losses[@]}" | awk '{ s += $1 } END { printf " %8.4f", s / NR }'
    printf '%s\n' "${rates[@]}" | awk '{ s += $1 } END { printf " %10.1f\n", s / NR }'
done
