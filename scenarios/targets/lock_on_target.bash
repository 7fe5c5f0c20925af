# shellcheck shell=bash
# The lock is taken on the file itself, which is then replaced: see lock_on_target.py.
# shellcheck disable=SC2034 # what the harness reads: TARGET_NEEDS_JQ

# shellcheck source=/dev/null
source "$ATOMICOPS_SHELL/atomicops.sh"
# shellcheck source=/dev/null
source "${BASH_SOURCE[0]%/*}/_read.bash"
TARGET_NEEDS_JQ=(read update)
TARGET_NEEDS_FLOCK=(update)

target_update() (
  exec 9<"$1"
  flock 9 # the bug
  updated=$(jq "$(<"$2")" "$1") && atomic_write "$updated" "$1"
)
