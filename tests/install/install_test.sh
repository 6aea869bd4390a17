#!/bin/sh
# install_test.sh SOURCE -- libtiger alone, as others use it: built without the engine's libraries in sight, installed
# into a temporary prefix, examples/ built against it by pkg-config and by find_package, and run. Static and shared.
set -eu
[ $# -eq 1 ] && [ -f "$1/include/tiger/optim.h" ] || { echo "install_test.sh: name the repository's folder, and nothing else" >&2; exit 2; }
source=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
jobs=$(nproc 2>/dev/null || echo 2)
say() { printf '== %s\n' "$*"; }

check() { # check static|shared ON|OFF
    kind=$1 prefix=$work/$1
    say "libtiger ($kind), without oneDNN and jansson"
    PKG_CONFIG_LIBDIR=$work/none cmake -S "$source" -B "$work/build-$kind" -DTIGER_ENGINE=OFF -DTIGER_TESTS=OFF \
        -DTIGER_DNNL=OFF -DTIGER_LAPACK=OFF -DBUILD_SHARED_LIBS="$2" -DCMAKE_INSTALL_PREFIX="$prefix" >"$work/log" 2>&1 \
        || { cat "$work/log"; exit 1; }
    cmake --build "$work/build-$kind" -j"$jobs" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
    cmake --install "$work/build-$kind" >"$work/log"

    # A moved tree must still work: everything is found relative to where it lies.
    mv "$prefix" "$prefix-moved"
    prefix=$prefix-moved
    libdir=$(dirname "$(find "$prefix" -name 'libtiger.*' | head -n 1)")

    say "examples/fit.c by pkg-config"
    PKG_CONFIG_PATH=$libdir/pkgconfig
    export PKG_CONFIG_PATH
    # shellcheck disable=SC2046
    cc -std=c17 -O2 "$source/examples/fit.c" -o "$work/fit-$kind" $(pkg-config --cflags --libs tiger)
    LD_LIBRARY_PATH=$libdir "$work/fit-$kind"
    LD_LIBRARY_PATH=$libdir "$work/fit-$kind" adamw

    say "examples/ by find_package"
    cmake -S "$source/examples" -B "$work/examples-$kind" -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" 2>&1 \
        || { cat "$work/log"; exit 1; }
    cmake --build "$work/examples-$kind" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
    "$work/examples-$kind/fit"
    "$work/examples-$kind/minimize"
    (cd "$work" && "examples-$kind/engine" && "examples-$kind/engine" adamw8bit)
}

check static OFF
check shared ON
say "what the shared library needs"
needed=$(readelf -d "$libdir/libtiger.so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort)
echo "$needed"
for library in $needed; do
    case $library in
    libc.so* | libm.so* | libgomp.so* | libomp.so* | ld-linux*) ;;
    *) echo "libtiger must not need $library" && exit 1 ;;
    esac
done
