# shellcheck shell=bash
# No lock around read, change, write: see no_lock.py.
# shellcheck disable=SC2034 # what the harness reads: TARGET_NEEDS_JQ

# shellcheck source=/dev/null
source "$ATOMICOPS_SHELL/atomicops.sh"
# shellcheck source=/dev/null
source "${BASH_SOURCE[0]%/*}/_read.bash"
TARGET_NEEDS_JQ=(read update)

target_write() { atomic_write - "$1" <"$2"; }

target_update() {
  local updated
  updated=$(jq "$(<"$2")" "$1") && atomic_write "$updated" "$1" # the bug
}
