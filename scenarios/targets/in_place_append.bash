# shellcheck shell=bash
# The log is appended to in place, line by line: see in_place_append.py.

# shellcheck source=/dev/null
source "$ATOMICOPS_SHELL/atomicops.sh"

log_lines() {
  local line
  while IFS= read -r line; do
    printf '%s\n' "$line" # the bug
  done <"$2" >>"$1"
  sync -- "$1"
}

target_append() { with_lock "$1" log_lines "$@"; }
