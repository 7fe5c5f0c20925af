# shellcheck shell=bash
# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
# atomicops.sh: replace, append to, update, back up and recover small files that several processes share.
#
#   source atomicops.sh
#   atomic_write   [--if-version V] CONTENT|- FILE   replace FILE          ("-": standard input)
#   atomic_append  TEXT|- FILE                       add to FILE's end
#   atomic_update  [--default JSON] FILE FILTER [jq argument...]   FILE = jq FILTER of FILE
#   atomic_read    FILE                              print FILE, a .json one only if it is valid
#   atomic_version FILE                              print what --if-version compares
#   atomic_backup  FILE [SUFFIX]                     copy to FILE.SUFFIX.bak, print that path
#   atomic_recover FILE [--restore-missing] [--backup]   corrupt: keep the evidence, restore the newest valid backup
#   atomic_sweep   DIR                               remove the temp files of writers that are gone
#   with_lock      FILE COMMAND [ARGUMENT...]        run COMMAND holding FILE's lock
#
# CONTENT and TEXT given as an argument end in one newline more, as `echo` would have it: such files are text.
# Standard input is taken byte for byte, NULs and a missing last newline included, and before the lock is.
# What else is done, and kept: `atomic-write.sh --help`. It is done by one process of Perl, atomicops.pl, which lies beside
# this file; an update also runs jq.
#
# Exit codes: 0 done (and durable, as asked); 64 usage; 65 invalid data; 66 no such file; 69 a program is missing;
# 73 cannot create, or not permitted; 74 I/O error, could not check, or committed but not durable (the message says
# which); 75 the lock: timeout, lost, or a trap came into it; 76 version.
#
# Environment: ATOMICOPS_DURABILITY=full|file|none (full)   ATOMICOPS_LOCK_TIMEOUT=SECONDS|none (30)
#   ATOMICOPS_VALIDATE=yes|no (yes)
#
# with_lock lets the helpers that a function calls, subshells included, write the same file. A program that it runs
# does not get the lock: a helper in there waits for it, and ends with status 75. (`with_lock FILE exec PROGRAM` leaves
# it to the program.) A trap that comes while a function has the lock is not part of what the function does: a helper
# on the same file ends in it with status 75. So it does in an EXIT trap, which bash does not tell from others, unless the
# function says `exit`, and, in bash 4.4, in a function that a trap runs by with_lock. For the command, descriptor 239 is
# closed.
#
# Not promised: exclusion on file systems where flock(2) is local to one host (some NFS mounts); exclusion between
# commands that one with_lock runs side by side in the background. A function that says `exec` gives the lock up.
#
# Nothing that the caller may have changed counts here. What runs in the caller's shell is made of keywords and
# assignments alone, which no function hides; all else runs in subshells, where POSIX mode lets `exec`, `unset`, `set` and
# `export` come before functions of these names. A backslash keeps a word from being an alias.

case ${BASH_VERSION-}:$- in # as any shell can read it
  :* | [1-3].* | 4.[0-3].* | *:*r*)
    \printf '%s\n' 'atomicops: this shell: not bash 4.4 or later, or restricted; use bash 4.4 or later, without -r' >&2
    \return 69
    ;;
esac

_ao_program=${BASH_SOURCE[0]}
if [[ -L $_ao_program ]]; then
  _ao_program=$(POSIXLY_CORRECT=1 && \unset -f readlink && \readlink -f -- "$_ao_program")
fi
[[ $_ao_program == */* ]] || _ao_program=./$_ao_program
_ao_program=${_ao_program%/*}/atomicops.pl
[[ $_ao_program == /* ]] || _ao_program=$PWD/$_ao_program
_ao_options=()

_ao_perl() { # _ao_perl OPERATION ARGUMENT...: becomes atomicops.pl
  [[ -o posix ]] || POSIXLY_CORRECT=1
  \unset -f hash printf true
  \set -h +euxk
  # Perl would find its own program where standard input is missing. Reading from this fails.
  # (`3<&0` ends bash 5.2 by SIGSEGV where its script is standard input; `>&` copies as well.)
  \true 2>/dev/null 3>&0 || \exec 0>/dev/null
  [[ ${FUNCNAME[*]} != *_ao_locked* ]] || _ao_pass_locks
  [[ $1 != lock ]] || \true 2>/dev/null 239</dev/null ||
    _ao_fail 74 "$2: with_lock needs descriptor 239; raise the limit of open files (ulimit -n)"
  \hash perl 2>/dev/null || _ao_fail 69 "perl: this program is missing; install the package perl"
  for _ao_part in .pl -seldom.pl -operations.pl; do
    _ao_part=${_ao_program%.pl}$_ao_part
    [[ -r $_ao_part ]] || _ao_fail 69 "$_ao_part: cannot be read; keep it beside atomicops.sh"
  done
  _ao_part=(PERL5OPT PERL5LIB PERLLIB PERL_UNICODE PERLIO PERL_SIGNALS PERL_HASH_SEED_DEBUG)
  [[ ${LC_ALL@a} == *r* ]] || \export LC_ALL=C # and then lengths are of bytes
  for _ao_given; do # as execve(2) has it
    ((${#_ao_given} < 131072)) ||
      _ao_fail 64 "${#_ao_given} bytes: too long for an argument; give content by standard input, and jq a file"
  done
  \unset "${_ao_part[@]}" 2>/dev/null && _ao_part=() || _ao_part=(env "${_ao_part[@]/#/-u}") # some are readonly
  \exec "${_ao_part[@]}" perl "$_ao_program" "${BASH_VERSINFO[5]}" "${_ao_options[@]}" "$@"
}

_ao_fail() { # _ao_fail STATUS MESSAGE
  \printf 'atomicops: %s\n' "$2" >&2
  \exit "$1"
}

[[ ${_ao_alone-} != "$$" ]] || return 0 # atomic-write.sh needs no more, and it takes time to read on

# Each of these first keeps BASH_COMMAND. It is that very command, unless a trap is running: then it is the command that
# the trap has interrupted.
atomic_write() { _ao_now=$BASH_COMMAND; _ao_send write "$@"; }
atomic_append() { _ao_now=$BASH_COMMAND; _ao_send append "$@"; }
atomic_update() { _ao_now=$BASH_COMMAND; (_ao_perl update "$@"); }
atomic_read() { _ao_now=$BASH_COMMAND; (_ao_perl read "$@"); }
atomic_version() { _ao_now=$BASH_COMMAND; (_ao_perl version "$@"); }
atomic_backup() { _ao_now=$BASH_COMMAND; (_ao_perl backup "$@"); }
atomic_recover() { _ao_now=$BASH_COMMAND; (_ao_perl recover "$@"); }
atomic_sweep() { _ao_now=$BASH_COMMAND; (_ao_perl sweep "$@"); }

# What it keeps has a place for each depth of calls, for a trap that comes meanwhile may use with_lock as well. Before the
# mark stands what a DEBUG trap prints, or a trace.
with_lock() {
  _ao_now=$BASH_COMMAND
  if [[ $# -lt 2 ]]; then
    (_ao_perl usage with_lock "needs a file and a command" "with_lock FILE COMMAND [ARGUMENT...]")
  elif _ao_lock[${#FUNCNAME[@]}]=$(_ao_perl lock "$1"); then
    _ao_with "$_ao_now" "${_ao_lock[${#FUNCNAME[@]}]##*$'\n//'}" "$@"
  else
    (_ao_release "$?")
  fi
}

_ao_with() { # _ao_with INTERRUPTED LOCK FILE COMMAND [ARGUMENT...]
  if [[ -z $2 ]]; then # this shell has it
    _ao_run "${@:4}"
  elif [[ -w $2 ]]; then
    _ao_locked "$@" 239<>"$2"
  else
    # shellcheck disable=SC2094 # it is opened, and never read
    _ao_locked "$@" 239<"$2"
  fi
}

# The lock is held by a descriptor of this call, which bash closes on every way out, also when Ctrl-C takes an
# interactive shell back to its prompt.
_ao_locked() { # _ao_locked INTERRUPTED LOCK FILE COMMAND [ARGUMENT...], with descriptor 239 open on LOCK
  _ao_count_locks
  _ao_held[_ao_depth - 1]=$2 _ao_interrupted[_ao_depth - 1]=$1
  if (_ao_perl take 239 "$2" "$3"); then
    # While the command runs, the descriptor is closed for every program that it starts. For a function the shell keeps
    # a copy of its own, closed on exec, and with that the lock. The command is not part of a condition, so that the
    # caller's `set -e` goes on counting inside a function.
    if [[ $4 == @(exec|command|builtin|eval) ]]; then
      _ao_run "${@:4}"
    else
      _ao_run "${@:4}" 239>&-
    fi
    (_ao_release "$?" "$4")
  else
    (_ao_release "$?")
  fi
}

_ao_run() { "$@"; } # by its name what the caller runs is told from what we do

_ao_count_locks() { # sets _ao_depth: what is in _ao_held beyond that is of calls that are over
  _ao_depth=0
  for _ao_caller in "${FUNCNAME[@]}"; do
    [[ $_ao_caller != _ao_locked ]] || _ao_depth=$((_ao_depth + 1))
  done
}

# --- in subshells, which these end ------------------------------------------------------------------------------------

_ao_release() { # _ao_release STATUS [COMMAND]: ends with this status; after what was no program, without the lock
  [[ -o posix ]] || POSIXLY_CORRECT=1
  \unset -f type
  [[ $# == 1 || $(\type -t -- "$2") == file ]] || (_ao_perl release 239)
  \exit "$1"
}

_ao_send() { # a text is not passed as an argument, for those have a limit, and all users see them
  if [[ ($# == 3 || $# == 5 && $2 == --if-version) && ${*: -2:1} != - ]]; then
    _ao_print "${@: -2:1}" | (_ao_perl --whole "${@:1:$#-2}" - "${@: -1}") # in a subshell also with lastpipe
  else
    (_ao_perl "$@")
  fi
}

_ao_print() {
  [[ -o posix ]] || POSIXLY_CORRECT=1
  \unset -f printf
  \printf '\0%s\n\0' "$1" 2>/dev/null # what a trap of DEBUG prints, or a trace, is before or behind
}

# The copies that bash keeps of the locks' descriptors are closed on exec, and so are copies of these, except those with
# the numbers 0, 1 and 2: each goes by way of 0.
_ao_pass_locks() { # adds to _ao_options
  \unset -f shopt declare
  _ao_lines=
  ((BASH_SUBSHELL == 1)) || _ao_lines=$'\n'$(\shopt -s extdebug && \declare -F -- "${FUNCNAME[@]}")
  _ao_count_locks
  _ao_how=--held
  \exec {_ao_input}>&0
  for ((_ao_i = 1; _ao_depth > 0; _ao_i++)); do
    # A trap has come where a function of ours calls one of the caller's, and where a function is called at a line
    # before its own first: a trap's lines count from 1. In a subshell, where BASH_COMMAND begins anew, this is what tells.
    if [[ ${BASH_SOURCE[_ao_i]} == "${BASH_SOURCE[0]}" ]]; then
      [[ ${FUNCNAME[_ao_i]} == _ao_run || ${FUNCNAME[_ao_i - 1]} == _ao_* ]] || _ao_how=--trap
    elif [[ $_ao_lines =~ $'\n'"${FUNCNAME[_ao_i]} "([0-9]+) ]]; then
      ((BASH_LINENO[_ao_i - 1] >= BASH_REMATCH[1])) || _ao_how=--trap
    fi
    [[ ${FUNCNAME[_ao_i]} == _ao_locked ]] || continue
    _ao_depth=$((_ao_depth - 1)) _ao_copy=-
    # shellcheck disable=SC2016 # the text itself
    [[ $_ao_now == '_ao_now=$BASH_COMMAND' || $_ao_now == exit?( *) || $_ao_now == "${_ao_interrupted[_ao_depth]}" ]] ||
      _ao_how=--trap
    for ((_ao_fd = 10; _ao_fd < 255; _ao_fd++)); do
      if [[ /dev/fd/$_ao_fd -ef ${_ao_held[_ao_depth]} ]]; then
        \exec 0>&"$_ao_fd" {_ao_copy}>&0
        break
      fi
    done
    _ao_options+=("$_ao_how" "$_ao_copy" "${_ao_held[_ao_depth]}")
  done
  \exec 0>&"$_ao_input" {_ao_input}>&-
}
