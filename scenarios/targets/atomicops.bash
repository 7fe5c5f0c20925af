# shellcheck shell=bash
# shellcheck disable=SC2034 # what the harness reads: TARGET_DEFINITE, TARGET_NEEDS_…
# The helpers of this project, as a CLI agent uses them.

# shellcheck source=/dev/null
source "$ATOMICOPS_SHELL/atomicops.sh"
# shellcheck source=/dev/null
source "${BASH_SOURCE[0]%/*}/_read.bash"

TARGET_DEFINITE=(64 65 66 69 73 75 76)
TARGET_NEEDS_JQ=(read update)
TARGET_NEEDS_PERL=(write update append backup recover lock sweep)

# Status 74 is an I/O error or "changed, but may not survive a power loss"; the message says which.
unchanged_is_definite() {
  local status=$1
  if ((status == 74)) && [[ -n ${STRESS_ERR-} && $(<"$STRESS_ERR") == *'(unchanged)'* ]]; then
    return 73
  fi
  return "$status"
}

# A fresh process for each write, with the content as an argument as far as one may be long.
target_write() {
  local content
  content=$(<"$2")
  if ((${#content} < 100 * 1024)); then
    bash "$ATOMICOPS_SHELL/atomic-write.sh" "$content" "$1" || unchanged_is_definite $?
  else
    bash "$ATOMICOPS_SHELL/atomic-write.sh" - "$1" <"$2" || unchanged_is_definite $?
  fi
}

target_update() {
  atomic_update "$1" "$(<"$2")" || unchanged_is_definite $?
}

target_append() {
  atomic_append "$(<"$2")" "$1" || unchanged_is_definite $?
}

target_backup() {
  atomic_backup "$1" || unchanged_is_definite $?
}

target_recover() {
  atomic_recover "$1" || unchanged_is_definite $?
}

target_lock() {
  with_lock "$@"
}

target_sweep() {
  atomic_sweep "$1"
}
