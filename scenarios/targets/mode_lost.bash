# shellcheck shell=bash
# The new file does not get the mode of the old one: see mode_lost.py.
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
  cat -- "$2" >"$temp" && sync -- "$temp" && mv -fT -- "$temp" "$path" # the bug
}

target_write() { with_lock "$1" replace "$@"; }
