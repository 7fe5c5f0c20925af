# shellcheck shell=bash
# Whether everything was written is not looked at: see short_write.py.
# shellcheck disable=SC2034 # what the harness reads: TARGET_NEEDS_JQ

# shellcheck source=/dev/null
source "$ATOMICOPS_SHELL/atomicops.sh"
# shellcheck source=/dev/null
source "${BASH_SOURCE[0]%/*}/_read.bash"
TARGET_NEEDS_JQ=(read)

replace() {
  local path temp
  path=$(readlink -f -- "$1")
  temp=$(mktemp -- "${path%/*}/.tmp.XXXXXX") || return
  cat -- "$2" >"$temp" # the bug: the status is dropped, as in a script without `set -e`
  [[ ! -e $path ]] || cp --attributes-only --preserve=all -- "$path" "$temp"
  sync -- "$temp" && mv -fT -- "$temp" "$path"
}

target_write() { with_lock "$1" replace "$@"; }
