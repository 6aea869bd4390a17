#!/usr/bin/env bash
# mutation.sh -- breaks libtiger, and what of the engine has tests for it, on purpose, one line at a time, and expects the tests to notice each time.
#
#   tests/mutation.sh [WORD]...   only the mutations of tests/mutations.txt whose line holds one of the words
#
# The tree is not touched: libtiger and the tests are built once in build/mutation, without optimization beyond -O1, and
# with the engine in build/mutation-engine where one of its files is to be broken; a mutated source is compiled beside
# them and linked in before the libraries. Fails when a mutation survives, changes nothing
# any more or does not compile, and when a rule is not broken in all the five ways. MUTATION_JOBS: how many at a time.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/mutation
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
jobs=${MUTATION_JOBS:-$(nproc 2>/dev/null || echo 2)}
ways=(sign decay correction last state)
rules=$(sed -n 's/^TG_RULE(\(.*\))$/\1/p' "$root/src/optim/rule/rules.inc")
export OMP_WAIT_POLICY=passive

# ---- the list ---------------------------------------------------------------------------------------------------------

# One mutation a line, RULE/WAY FILE EXPRESSION; one for several rules must be noticed by the tests of each of them.
mutations() {
    local target file expression rule
    while read -r target file expression; do
        for rule in $(echo "${target%/*}" | tr ',' ' '); do
            echo "$rule/${target#*/} $file $expression"
        done
    done < <(grep -v '^#' "$root/tests/mutations.txt" | grep .)
}

check_list() {
    local rule way bad=0
    mutations | cut -d ' ' -f 1 >"$work/targets"
    for rule in $rules; do
        for way in "${ways[@]}"; do
            grep -qx "$rule/$way" "$work/targets" || { echo "mutations.txt: no $rule/$way" && bad=1; }
        done
    done
    return $bad
}

wanted() { # MUTATION [WORD]...
    local mutation=$1 word
    shift
    [ $# -gt 0 ] || return 0
    for word in "$@"; do
        [[ "$mutation" != *"$word"* ]] || return 0
    done
    return 1
}

# Every WORD must be in some line: none of the list is no answer to a word that is misspelt.
check_words() { # [WORD]...
    local word
    for word in "$@"; do
        grep -qF -- "$word" < <(mutations) || { echo "mutation.sh: no line of tests/mutations.txt holds '$word'" >&2; exit 2; }
    done
}

# ---- compiling --------------------------------------------------------------------------------------------------------

# Where FILE is built: libtiger alone, or the engine's files.
tree_of() {
    case $1 in
    train/* | search/* | attack/*) echo "$build-engine" ;;
    *) echo "$build" ;;
    esac
}

# cmake's commands for a tree's sources, as "SOURCE COMMAND" with the path under src/.
list_commands() { # TREE
    sed -n 's/^ *"command": "\(.*\)",$/\1/p' "$1/compile_commands.json" | sed 's/\\\(.\)/\1/g' |
        sed -n "s|^\(.* -c $root/src/\)\(.*\)$|\2 \1\2|p" >"$work/${1##*/}.commands"
}

# FILE when it is a source; all sources that include it, directly or through other headers, when it is a header.
sources_of() {
    local file=$1 includer
    [[ $file == *.h ]] || { echo "$file"; return; }
    for includer in $(cd "$root/src" && grep -rl "#include \"$file\"" base dense minimize optim schedule store); do
        sources_of "$includer"
    done
}

# Compiles what FILE's mutant in DIR/src changes, for every instruction set.
compile() { # DIR FILE
    local dir=$1 source command count=0 tree
    tree=$(tree_of "$2")
    for source in $(sources_of "$2" | sort -u); do
        [ -e "$dir/src/$source" ] || { mkdir -p "$dir/src/${source%/*}" && cp "$root/src/$source" "$dir/src/$source"; }
        while read -r _ command; do
            count=$((count + 1))
            command=${command% -o *}
            (cd "$tree" && eval "${command/ / -I$dir/src } -w -o $dir/$count.o -c $dir/src/$source") >"$dir/log" 2>&1 || return 1
        done < <(grep "^$source " "$work/${tree##*/}.commands")
    done
    [ $count -gt 0 ]
}

# ---- testing ----------------------------------------------------------------------------------------------------------

# The tests that may notice, the likeliest and quickest first.
tests_for() { # RULE FILE
    local quick="optim_matrix_test optim_soap_test optim_kfac_test optim_rules_test optim_tiger_test optim_code8_test optim_values_test optim_observe_test optim_guard_test optim_misuse_test"
    quick="$quick optim_edge_test optim_range_test format_test optim_threads_test"
    local long="optim_golden_test optim_format_test optim_memory_test optim_resume_test optim_bits_test"
    case $2 in
    schedule/*) echo schedule_test ;;
    minimize/*) echo "minimize_free_test minimize_test" ;;
    dense/*) echo "dense_test optim_matrix_test optim_kfac_test" ;;
    train/agree.c) echo engine_resume_test ;;
    search/*) echo engine_search_test ;;
    train/attack.c | attack/*) echo engine_attack_test ;;
    train/*) echo engine_natgrad_test ;;
    optim/rule*) echo "optim_golden_test $quick $long" ;;
    base/number.c | base/option.c) echo option_test ;;
    base/*) echo "format_test $quick $long" ;;
    *) echo "$quick $long" ;;
    esac
}

run_test() { # TEST PROGRAM RULE: with a rule, the suites for all rules are run for it only
    if [ "$3" = - ]; then
        timeout 300 "$2" >/dev/null 2>&1
    else
        TIGER_TEST_RULE=$3 timeout 300 "$2" >/dev/null 2>&1
    fi
}

# Whether the test passes when nothing is broken. Asked once.
healthy() { # TEST RULE TREE
    local known=$work/healthy.$1.$2
    [ -e "$known" ] || { run_test "$1" "$3/$1" "$2" && echo yes || echo no; } >"$known.$BASHPID"
    [ -e "$known" ] || mv "$known.$BASHPID" "$known"
    grep -q yes "$known"
}

# The name of the first test that fails; nothing when all pass.
first_failure() { # DIR RULE FILE
    local dir=$1 test done=" " tree linked
    tree=$(tree_of "$3")
    linked=("$tree/libtiger.a" "${libraries[@]}")
    [ "$tree" = "$build" ] || linked=("$tree/libtiger_engine.a" "$tree/libtiger.a" "${engine_libraries[@]}")
    for test in $(tests_for "$2" "$3"); do
        [[ $done != *" $test "* ]] || continue
        done="$done$test "
        "${cc[@]}" -o "$dir/$test" "$tree/tests/CMakeFiles/$test.dir/unit/$test.c.o" "$dir"/*.o "${linked[@]}" \
            >"$dir/log" 2>&1 || { echo linker; return; }
        run_test "$test" "$dir/$test" "$2" || { echo "$test"; return; }
        rm "$dir/$test"
    done
}

# Prints one line on what became of a mutation; the first word counts.
try() { # NUMBER RULE/WAY FILE EXPRESSION
    local dir=$work/$1 target=$2 file=$3 expression=$4 by="" verdict
    mkdir -p "$dir/src/${file%/*}"
    sed "$expression" "$root/src/$file" >"$dir/src/$file"
    if cmp -s "$root/src/$file" "$dir/src/$file"; then
        verdict=STALE
    elif ! compile "$dir" "$file"; then
        verdict=BROKEN
    else
        by=$(first_failure "$dir" "${target%/*}" "$file")
        verdict=caught
        if [ -z "$by" ]; then
            verdict=SURVIVED
        elif [ "$by" = linker ]; then
            verdict=BROKEN
        elif ! healthy "$by" "${target%/*}" "$(tree_of "$file")"; then
            verdict=UNTESTED
        fi
    fi
    printf '%-9s %s %s %s%s\n' "$verdict" "$target" "$file" "$expression" "${by:+   by $by}" | tee "$work/$1.verdict"
    rm -rf "$dir"
}

# ---- all of it --------------------------------------------------------------------------------------------------------

check_words "$@"
generator=$(command -v ninja >/dev/null 2>&1 && echo Ninja || echo "Unix Makefiles")
build_tree() { # TREE TARGET [OPTION]...
    local tree=$1 target=$2
    shift 2
    mkdir -p "$tree"
    { cmake -S "$root" -B "$tree" -G "$generator" -DTIGER_LAPACK=ON -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG=-O1 \
        "$@" && cmake --build "$tree" -j "$jobs" --target $target; } >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
    list_commands "$tree"
}
build_tree "$build" all -DTIGER_ENGINE=OFF -DTIGER_DNNL=OFF
engine_files=0
while read -r target file expression; do
    [ "$(tree_of "$file")" = "$build" ] || ! wanted "$target $file $expression" "$@" || engine_files=1
done < <(mutations)
[ $engine_files = 0 ] || build_tree "$build-engine" "engine_natgrad_test engine_resume_test engine_search_test engine_attack_test" -DTIGER_ENGINE=ON -DTIGER_DNNL=ON -DTIGER_ZLIB=OFF
cc=("$(sed -n 's|^[^ ]* \([^ ]*\) .*|\1|p;q' "$work/${build##*/}.commands")" -fopenmp)
read -ra libraries <<<"$(pkg-config --libs cmocka) -llapacke -lm"
read -ra engine_libraries <<<"$(pkg-config --libs cmocka jansson libpcre2-8 libutf8proc) -ldnnl -llapacke -lm"

status=0
check_list || status=1
number=0
while read -r target file expression; do
    wanted "$target $file $expression" "$@" || continue
    number=$((number + 1))
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
        wait -n || true
    done
    try "$number" "$target" "$file" "$expression" &
done < <(mutations)
wait
caught=$(cat "$work"/*.verdict 2>/dev/null | grep -c '^caught' || true)
echo "$caught of $number mutations caught ($SECONDS s)"
[ "$caught" -eq "$number" ] && [ "$status" -eq 0 ]
