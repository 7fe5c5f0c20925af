# A simulated CLI agent: a real bash process that is told its operations over a pipe and does them as scripts do.
#
# The line protocol, so that a worker can be written in any language:
#
#   worker   → harness   hello 1 OPERATION…         once, when it is ready: the operations that it can do
#   harness  → worker    SEQ OPERATION PATH         one line an operation; PATH is the rest of the line
#   worker   → harness   SEQ STATUS [FROM TO]       when it is done; FROM and TO, microseconds since the epoch: when the lock was held
#
# STATUS: 0 done; 66 there is no such file; 65 (of a read) the reader found no document; a status that `hello` listed as
# definite=N,N…: certainly nothing changed; anything else: unknown. What does not fit a line is in files that only this worker
# and its driver use, named in the environment: STRESS_IN (the document, the log record, or the jq program of an update),
# STRESS_OUT (the bytes that were seen, or a backup's path), STRESS_ERR (messages). End of input: the worker ends.
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
  declare -F "target_$operation" >/dev/null && hello+=" $operation"
done
printf -v definite '%s,' "${TARGET_DEFINITE[@]}"
printf '%s\n' "$hello definite=${definite%,}"

while read -r seq operation path; do
  held_from='' held_to=''
  status=0
  stress_do "$operation" "$path" </dev/null >"$STRESS_OUT" 2>"$STRESS_ERR" || status=$?
  printf '%s\n' "$seq $status${held_to:+ ${held_from/[.,]/} ${held_to/[.,]/}}"
done
