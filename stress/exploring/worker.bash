# A simulated CLI agent under a scheduler: it does the operations that are listed in $2/requests, one a line
# (NUMBER OPERATION PATH), with the functions of the target's file $1, and says by marks when each began and ended.
# A mark is a look at a path that no file system has; the scheduler stamps it with the step.
#
# Of operation N: $2/N.in is what it is given, N.out what it saw, N.err its messages, N.file the bytes of a backup that
# it made or saw, and those of a file after its recovery.

# shellcheck disable=SC2034,SC2329 # for the functions of the worker of free runs, which call and read these

# Those functions; its loop ends at once, as standard input is empty.
# shellcheck source=/dev/null
source "$3" "$1" >/dev/null
folder=$2

stress_mark() { [[ -e /.stress/mark/$1 ]] || :; }

stress_held_update() {
  stress_mark "$seq from"
  target_update "$1" "$2"
  local status=$?
  stress_mark "$seq to"
  return "$status"
}

target_observe_backup() {
  local backups=("$1".*.bak)
  [[ -e ${backups[-1]} ]] || return 66
  printf '%s\n' "${backups[-1]}"
}

printf '%s ' "${TARGET_DEFINITE[@]}" >"$folder/definite"
mapfile -t requests <"$folder/requests"
for request in "${requests[@]}"; do
  seq=${request%% *} request=${request#* }
  operation=${request%% *} path=${request#* }
  STRESS_IN=$folder/$seq.in
  status=0
  stress_mark "$seq invoke"
  stress_do "$operation" "$path" </dev/null >"$folder/$seq.out" 2>"$folder/$seq.err" || status=$?
  stress_mark "$seq return $status"
  ((status == 0)) || continue
  case $operation in
    recover) cat -- "$path" >"$folder/$seq.file" ;;
    *backup) IFS= read -r made <"$folder/$seq.out" && cat -- "$made" >"$folder/$seq.file" ;;
  esac
done
exit 0
