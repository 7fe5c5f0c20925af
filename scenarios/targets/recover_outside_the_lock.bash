# shellcheck shell=bash
# What is broken is found out before the lock is taken: see recover_outside_the_lock.py.
# shellcheck disable=SC2034 # what the harness reads: TARGET_DEFINITE, TARGET_NEEDS_JQ

# shellcheck source=/dev/null
source "${BASH_SOURCE[0]%/*}/_read.bash"
TARGET_DEFINITE=(66)
TARGET_NEEDS_JQ=(read update recover)
TARGET_NEEDS_FLOCK=(update recover)

locked() ( # locked FILE COMMAND…
  exec 9>>"$(readlink -f -- "$1").lock"
  flock 9
  "${@:2}"
)

put() { # put FILE, from the standard input
  local temp
  temp=$(mktemp "$1.tmp.XXXXXX") && cat >"$temp" && cp --attributes-only --preserve=all -- "$1" "$temp" &&
    mv -fT -- "$temp" "$1"
}

update() {
  local updated
  updated=$(jq "$(<"$2")" "$1") && put "$1" <<<"$updated"
}

target_update() { locked "$1" update "$@"; }

restore() { # restore FILE BACKUP
  cp -- "$1" "$1.$(date +%s%N).corrupt" && put "$1" <"$2"
}

target_recover() {
  ! jq . "$1" >/dev/null 2>&1 || return 0
  local backups=("$1".*.bak) number
  for ((number = ${#backups[@]} - 1; number >= 0; number--)); do
    if jq . "${backups[number]}" >/dev/null 2>&1; then
      locked "$1" restore "$1" "${backups[number]}" # the bug: is it still broken?
      return
    fi
  done
  return 66
}
