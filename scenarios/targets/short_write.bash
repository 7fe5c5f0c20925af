# shellcheck shell=bash
# Whether everything was written is not looked at: see short_write.py.
# shellcheck disable=SC2034 # what the harness reads: TARGET_NEEDS_JQ

# shellcheck source=/dev/null
source "${BASH_SOURCE[0]%/*}/_read.bash"
TARGET_NEEDS_JQ=(read)

target_write() {
  local path temp
  path=$(readlink -f -- "$1")
  temp=$(mktemp -- "${path%/*}/.tmp.XXXXXX") || return
  cat -- "$2" >"$temp" # the bug: the status is dropped, as in a script without `set -e`
  if [[ -e $path ]]; then # cp(1) declines when the file is replaced just then
    until cp --attributes-only --preserve=all -- "$path" "$temp"; do :; done
  fi
  sync -- "$temp" && mv -fT -- "$temp" "$path"
}
