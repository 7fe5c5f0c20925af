# shellcheck shell=bash
# A reader of JSON documents, as CLI agents have it: `cat FILE | jq`. It goes by way of variables, so that a full disk
# under what the worker prints is told from a file that is broken.

target_read() {
  local content parsed
  [[ -e $1 ]] || return 66
  content=$(cat -- "$1") || return 74
  if parsed=$(printf '%s\n' "$content" | jq .); then
    printf '%s\n' "$parsed"
  else
    printf '%s\n' "$content" && return 65
  fi
}
