#!/usr/bin/env bash
# Replace a small file that other processes read and write: see atomicops.sh, which must lie beside this.
# usage: atomic-write.sh [--if-version VERSION] CONTENT|- TARGET

LC_ALL=C # bytes; and bash reads a script faster
set -uo pipefail

here=${BASH_SOURCE[0]%/*}
[[ $here != "${BASH_SOURCE[0]}" ]] || here=.
# What is nothing out of the ordinary, Perl can do without Bash having read a single function, which takes a third of a
# millisecond. What `_ao_settings` and `_ao_resolve` would find is here for a file with a short name of its own, in a directory
# that is there and is not the root, and not to be checked; all else is left to them.
if (($# == 2)) && [[ $OSTYPE/$HOSTTYPE == linux*/@(x86_64|aarch64) && ${ATOMICOPS_ENGINE:-auto} == auto &&
  ${ATOMICOPS_DURABILITY:-full} == @(full|file|none) && -z ${ATOMICOPS_LOCK_TIMEOUT+set} ]]; then
  path=$2
  [[ $path == /* ]] || path=./$path
  name=${path##*/} dir=${path%/*}
  stem=$dir/.$name
  if [[ -n $2 && -n $name && ${#name} -le 45 && -d $dir && ! -L $path && ( -f $path || ! -e $path ) &&
    (${ATOMICOPS_VALIDATE:-yes} == no || (${ATOMICOPS_VALIDATE:-yes} == yes && $name != *.json)) ]] &&
    hash perl 2>/dev/null; then
    export LC_ALL PERL5OPT='' PERL_UNICODE=0
    arguments=(write "$2" "$path" "$dir" "$stem." "$stem.lock" '' 30 "${ATOMICOPS_DURABILITY:-full}"
      '' '' '' '' '' "$here/atomicops.sh" "$HOSTTYPE")
    # The content may be long, and each time that Bash expands it takes time.
    if ((${#1} == 1)) && [[ $1 == - ]]; then
      exec perl -x -- "$here/atomicops.sh" "${arguments[@]}"
    fi
    exec perl -x -- "$here/atomicops.sh" "${arguments[@]}" "$1"
  fi
fi

_ao_first_part_only=
(($# != 2)) || _ao_first_part_only=1
# shellcheck source-path=SCRIPTDIR source=atomicops.sh
if ! source "$here/atomicops.sh"; then
  printf 'atomicops: %s: cannot be read; keep it beside atomic-write.sh\n' "$here/atomicops.sh" >&2
  exit 69
fi

# The rest of this file is not even read when perl takes over here.
if [[ -n $_ao_first_part_only ]]; then
  if _ao_perl_is_there; then
    _ao_settings && _ao_resolve "$2" || exit
    if [[ -d $_ao_dir ]]; then
      _ao_perl_arguments write '' "$2" '' "$here/atomicops.sh"
      # shellcheck disable=SC2031 # in another function's subshell
      export LC_ALL PERL5OPT='' PERL_UNICODE=0
      if ((${#1} == 1)) && [[ $1 == - ]]; then
        exec perl -e "$_ao_program" -- "${_ao_arguments[@]}"
      fi
      exec perl -e "$_ao_program" -- "${_ao_arguments[@]}" "$1"
    fi
  fi
  _ao_first_part_only=
  # shellcheck source-path=SCRIPTDIR source=atomicops.sh
  source "$here/atomicops.sh"
fi

if (($# == 1)) && [[ $1 == --help || $1 == -h ]]; then
  cat <<'HELP'
usage: atomic-write.sh [--if-version VERSION] CONTENT|- TARGET

Replaces TARGET by CONTENT, at once: a reader sees the old file or the new one, whole.
CONTENT is text, and a newline is added as `echo` does. With - as CONTENT, standard input is taken, byte for byte
(and of any size). A TARGET named *.json must get exactly one JSON value, or else it stays as it is (status 65).
TARGET keeps its mode, owner and extended attributes; if it is a symlink, the link's target is replaced.

  --if-version VERSION   only if TARGET still has that version: "sha256-" and the digits that sha256sum prints, or
                         "absent" for a file that must not be there yet; otherwise status 76

Environment:
  ATOMICOPS_DURABILITY   full (default): survives a power loss; file: the file is synced, its name not; none
  ATOMICOPS_LOCK_TIMEOUT seconds to wait for other writers (default 30), or none: for ever
  ATOMICOPS_VALIDATE     yes (default) or no: check *.json
  ATOMICOPS_ENGINE       auto (default), perl or coreutils

Exit status: 0 written (and durable, as asked); 64 usage; 65 invalid data; 69 a program is missing; 73 cannot create;
74 I/O error, or changed but perhaps not durable: the message says which; 75 lock timeout; 76 version conflict.
HELP
  exit
fi
if ! { (($# == 2)) || { (($# == 4)) && [[ $1 == --if-version ]]; }; }; then
  printf 'atomicops: atomic-write.sh: called with the wrong arguments; see atomic-write.sh --help\n' >&2
  exit 64
fi
_ao_alone=1 # this process is ours: no subshell is needed to keep traps in
atomic_write "$@"
