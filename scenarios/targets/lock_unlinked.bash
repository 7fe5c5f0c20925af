# shellcheck shell=bash
# The lock file is removed on release: see lock_unlinked.py.
# shellcheck disable=SC2034 # what the harness reads: TARGET_NEEDS_JQ

# shellcheck source=/dev/null
source "$ATOMICOPS_SHELL/atomicops.sh"
# shellcheck source=/dev/null
source "${BASH_SOURCE[0]%/*}/_read.bash"
TARGET_NEEDS_JQ=(read update)
TARGET_NEEDS_FLOCK=(update)

locked() ( # locked FILE COMMAND…
  name=$(readlink -f -- "$1").lock
  exec 9>>"$name"
  flock 9
  "${@:2}"
  status=$?
  rm -f -- "$name" # the bug
  exit "$status"
)

target_write() { locked "$1" atomic_write - "$1" <"$2"; }

update() {
  local updated
  updated=$(jq "$(<"$2")" "$1") && atomic_write "$updated" "$1"
}

target_update() { locked "$1" update "$@"; }
