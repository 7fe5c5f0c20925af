# shellcheck shell=bash
# shellcheck disable=SC2034 # what the harness reads: TARGET_DEFINITE, TARGET_NEEDS_…
# The helpers with their options, drawn anew for each operation.

# shellcheck source=/dev/null
source "${BASH_SOURCE[0]%/*}/../../../scenarios/targets/atomicops.bash"

drawn() {
  local names=(full file none)
  export ATOMICOPS_DURABILITY=${names[RANDOM % 3]}
}

target_write() {
  drawn
  if ((RANDOM % 2)); then
    atomic_write - "$1" <"$2" || unchanged_is_definite $?
  else
    bash "$ATOMICOPS_SHELL/atomic-write.sh" - "$1" <"$2" || unchanged_is_definite $?
  fi
}

target_update() {
  drawn
  local filter version document status
  filter=$(<"$2")
  case $((RANDOM % 3)) in
    0) atomic_update "$1" "$filter" || unchanged_is_definite $? ;;
    1) with_lock "$1" locked_update "$1" "$filter" || unchanged_is_definite $? ;;
    2)
      while :; do
        version=$(atomic_version "$1") || return
        document=$(atomic_read "$1") || return
        document=$(jq "$filter" <<<"$document") || return
        status=0
        atomic_write --if-version "$version" "$document" "$1" || status=$?
        ((status == 76)) || break
      done
      ((status == 0)) || unchanged_is_definite "$status"
      ;;
  esac
}

locked_update() {
  local document
  document=$(jq "$2" "$1") && atomic_write "$document" "$1"
}

target_append() {
  drawn
  if ((RANDOM % 2)); then
    atomic_append "$(<"$2")" "$1" || unchanged_is_definite $?
  else
    with_lock "$1" atomic_append - "$1" <"$2" || unchanged_is_definite $?
  fi
}
