# shellcheck shell=bash
# shellcheck disable=SC2034 # what the harness reads: TARGET_DEFINITE, TARGET_NEEDS_JQ
# Redirect into the file, and nothing else.

# shellcheck source=/dev/null
source "${BASH_SOURCE[0]%/*}/_read.bash"
TARGET_NEEDS_JQ=(read update recover)

target_write() { printf '%s\n' "$(<"$2")" >"$1"; }

target_update() {
  local updated
  updated=$(jq "$(<"$2")" "$1") && printf '%s\n' "$updated" >"$1"
}

target_append() { cat -- "$2" >>"$1"; }

target_backup() {
  local made
  made=$1.$(date +%s).bak
  cp -- "$1" "$made" && printf '%s\n' "$made"
}

target_recover() {
  jq . "$1" >/dev/null && return
  local backups=("$1".*.bak)
  cp -- "${backups[-1]}" "$1"
}
