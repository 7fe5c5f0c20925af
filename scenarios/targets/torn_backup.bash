# shellcheck shell=bash
# The backup is copied straight to its final name: see torn_backup.py.
# shellcheck disable=SC2034 # what the harness reads: TARGET_NEEDS_JQ

# shellcheck source=/dev/null
source "$ATOMICOPS_SHELL/atomicops.sh"
# shellcheck source=/dev/null
source "${BASH_SOURCE[0]%/*}/_read.bash"
TARGET_NEEDS_JQ=(read)

target_write() { atomic_write - "$1" <"$2"; }

copy() {
  local made
  made=$1.${EPOCHREALTIME/[.,]/}.bak
  : >"$made" && sync -- "$made" # the bug: the name is there, and nothing in it yet
  cp --preserve=all -- "$1" "$made" && sync -- "$made" && printf '%s\n' "$made"
}

target_backup() { with_lock "$1" copy "$1"; }
