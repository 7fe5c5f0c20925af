# shellcheck shell=bash
# shellcheck disable=SC2034 # what the harness reads: TARGET_DEFINITE, TARGET_NEEDS_JQ
# The guide's recipes, as printed.

# shellcheck source=/dev/null
source "${BASH_SOURCE[0]%/*}/_read.bash"
TARGET_NEEDS_JQ=(read update recover)

# atomic-write.sh CONTENT TARGET
atomic_write() {
  local temp
  temp=$(mktemp "$2.tmp.XXXXXX") || return
  echo "$1" >"$temp" && mv "$temp" "$2"
}

target_write() { atomic_write "$(<"$2")" "$1"; }

# "Update Session Count". `|` binds weaker than `=`: strftime gets the whole document, jq fails, and what it printed,
# which is nothing, replaces the file.
target_update() {
  local current updated filter
  filter=$(<"$2")
  [[ $1 == *feature_list.json ]] || filter+=' | .last_update = now | strftime("%Y-%m-%dT%H:%M:%SZ")'
  current=$(cat "$1")
  updated=$(echo "$current" | jq "$filter")
  atomic_write "$updated" "$1"
}

target_append() {
  local existing=''
  [[ ! -e $1 ]] || existing=$(cat "$1")$'\n'
  atomic_write "$existing$(<"$2")" "$1"
}

target_backup() {
  local made
  made=$1.$(date +%s).bak
  cp -p "$1" "$made" && printf '%s\n' "$made"
}

target_recover() {
  jq . "$1" >/dev/null && return
  local backups
  mapfile -t backups < <(ls -t "$1".*.bak)
  cp "${backups[0]}" "$1" && cp -p "$1" "$1.$(date +%s).bak"
}
