# shellcheck shell=bash
# The temporary file has a fixed name: see fixed_temp.py.
# shellcheck disable=SC2034 # what the harness reads: TARGET_NEEDS_JQ

# shellcheck source=/dev/null
source "${BASH_SOURCE[0]%/*}/_read.bash"
TARGET_NEEDS_JQ=(read)

target_write() {
  local path temp
  path=$(readlink -f -- "$1")
  temp=$path.tmp # the bug
  if [[ -e $path ]]; then
    cp --attributes-only --preserve=all -- "$path" "$temp" || return
  fi
  cat -- "$2" >"$temp" && sync -- "$temp" && mv -fT -- "$temp" "$path"
}
