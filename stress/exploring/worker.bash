# A simulated CLI agent under a scheduler: it does the operations that are listed in $1/requests, one a line
# (NUMBER OPERATION PATH), and says by marks when each began and ended. A mark is a look at a path that no file system
# has; the scheduler stamps it with the step. They are done with the functions of the target's file $3, or by the worker
# that is started by the words after $3, and spoken to by the line protocol (docs/protocol.md).
#
# Of operation N: $1/N.in is what it is given (N.edits, to a worker that wants edits), N.out what it saw, N.err its
# messages, N.file the bytes of a backup that it made or saw, and those of a file after its recovery.

# shellcheck disable=SC2034,SC2329 # for the functions of the worker of free runs, which call and read these

# Those functions; its loop ends at once, as standard input is empty.
# shellcheck source=/dev/null
source "$2" "$3" >/dev/null
folder=$1

stress_mark() { [[ -e /.stress/mark/$1 ]] || :; }

stress_held_update() {
  stress_mark "$seq from"
  target_update "$1" "$2"
  local status=$?
  stress_mark "$seq to"
  return "$status"
}

# Nothing is kept of what is not there.
stress_keep() { cat -- "$1" >"$folder/$seq.file" || rm -f -- "$folder/$seq.file"; }

target_observe_backup() {
  local backups=("$1".*.bak)
  [[ -e ${backups[-1]} ]] || return 66
  printf '%s\n' "${backups[-1]}"
}

pid=''
if (($# > 3)); then
  shift 3
  export STRESS_IN=$folder/in STRESS_OUT=$folder/out STRESS_ERR=$folder/err
  coproc worker { exec "$@" 2>"$folder/said"; }
  # shellcheck disable=SC2154 # coproc sets worker_PID
  pid=$worker_PID from=${worker[0]} to=${worker[1]} # Bash forgets them when it ends
  read -r -u "$from" hello && [[ $hello == 'hello 1'* ]] || exit 70
  hello+=' '
  [[ $hello != *definite=* ]] || IFS=', ' read -r -a TARGET_DEFINITE <<<"${hello##*definite=}"

  stress_do() {
    local operation=$1 given=$folder/$seq.in answered='' status=70
    case $operation in
      observe_backup)
        target_observe_backup "$2"
        return
        ;;
      observe)
        if [[ $hello != *' observe '* ]]; then
          stress_observe "$2"
          return
        fi
        ;;
      locked_update) [[ $hello == *' lock '* ]] || operation=update ;;
    esac
    [[ $operation != *update || $hello != *' update=edits '* ]] || given=$folder/$seq.edits
    cat -- "$given" >"$STRESS_IN"
    : >"$STRESS_OUT"
    : >"$STRESS_ERR"
    printf '%s\n' "$seq $operation $2" >&"$to"
    read -r -u "$from" answered status _ && [[ $answered == "$seq" ]] || return 70
    cat -- "$STRESS_OUT"
    cat -- "$STRESS_ERR" >&2
    return "$status"
  }
fi

printf '%s ' "${TARGET_DEFINITE[@]}" >"$folder/definite"
mapfile -t requests <"$folder/requests"
for request in "${requests[@]}"; do
  seq=${request%% *} request=${request#* }
  operation=${request%% *} path=${request#* }
  [[ -n $pid ]] || STRESS_IN=$folder/$seq.in
  status=0
  stress_mark "$seq invoke"
  stress_do "$operation" "$path" </dev/null >"$folder/$seq.out" 2>"$folder/$seq.err" || status=$?
  stress_mark "$seq return $status"
  ((status == 0)) || continue
  case $operation in
    recover) stress_keep "$path" ;;
    *backup) mapfile -t made <"$folder/$seq.out" && ((${#made[@]})) && stress_keep "${made[-1]}" ;;
  esac
done
if [[ -n $pid ]]; then
  exec {to}>&-
  wait "$pid" || exit
fi
exit 0
