# A simulated CLI agent: a real bash process that is told its operations over a pipe and does them as scripts do.
#
# It speaks the line protocol, which is told in docs/protocol.md: `hello 1 OPERATION…`, then for each line SEQ OPERATION PATH
# a line SEQ STATUS [FROM TO].
#
# $1 is the target's file of functions: target_write PATH CONTENTFILE, target_read PATH, target_update PATH FILTERFILE,
# target_append PATH TEXTFILE, target_backup PATH, target_recover PATH, target_lock PATH COMMAND…, target_sweep DIRECTORY.

TARGET_DEFINITE=()
# shellcheck source=/dev/null
source "$1"

stress_observe() {
  [[ -e $1 ]] || return 66 # there is no such file
  cat -- "$1"
}

stress_held_update() {
  held_from=${EPOCHREALTIME-}
  target_update "$1" "$2"
  local status=$?
  held_to=${EPOCHREALTIME-}
  return "$status"
}

stress_do() {
  case $1 in
    observe) stress_observe "$2" ;;
    write | update | append) "target_$1" "$2" "$STRESS_IN" ;;
    locked_update) target_lock "$2" stress_held_update "$2" "$STRESS_IN" ;;
    *) "target_$1" "$2" ;;
  esac
}

hello='hello 1 observe'
for operation in write read update append backup recover lock sweep; do
  declare -F "target_$operation" && hello+=" $operation"
done >/dev/null
printf -v definite '%s,' "${TARGET_DEFINITE[@]}"
printf '%s\n' "$hello definite=${definite%,}"

while read -r seq operation path; do
  held_from='' held_to=''
  status=0
  stress_do "$operation" "$path" </dev/null >"$STRESS_OUT" 2>"$STRESS_ERR" || status=$?
  printf '%s\n' "$seq $status${held_to:+ ${held_from/[.,]/} ${held_to/[.,]/}}"
done
