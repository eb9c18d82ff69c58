# shellcheck shell=bash
# Sourced by the other scripts: what the machine must have. What is missing is said in one sentence.

TARGET=x86_64-unknown-linux-gnu # as in .cargo/config.toml: a static binary needs its target named

say() { printf '%s\n' "» $*"; }
fail() { printf '%s\n' "$*" >&2 && exit 1; }

is_root() { [[ $(id -u) == 0 ]]; }
require_root() { is_root || fail "$1 needs root, because it $2."; }

require_rust() {
    command -v cargo >/dev/null || fail "Rust is missing: install it from https://rustup.rs, then run this again."
}

# Installs the Debian packages that are missing, by name and aloud. `kubectl` as an argument asks for one, too.
require_packages() {
    local missing=()
    command -v cc >/dev/null || missing+=(gcc)
    # The static C library for the static binary; gcc alone does not bring it.
    { command -v cc >/dev/null && [[ -e $(cc -print-file-name=libc.a) ]]; } || missing+=(libc6-dev)
    [[ ${1:-} != kubectl ]] || command -v kubectl >/dev/null || missing+=(kubernetes-client)
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null || fail "This machine lacks ${missing[*]} (Debian's names): install them, then run this again."
    is_root || fail "This machine lacks the Debian packages ${missing[*]}: install them as root by 'apt-get install ${missing[*]}'."
    say "installing the Debian packages ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -qq update && apt-get -qq install --yes --no-install-recommends "${missing[@]}" >/dev/null; } ||
        fail "The Debian packages ${missing[*]} could not be installed: see above."
}
