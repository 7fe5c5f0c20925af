#!/usr/bin/env bash
# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
# A command that replaces a small file which other processes read and write. The file is replaced at once: a reader
# sees the old content or the new, whole. The work is done by atomicops.sh, which must lie beside this file.
# usage: atomic-write.sh [--if-version VERSION] CONTENT|- TARGET

case ${BASH_VERSION-} in # as any shell can read it
  '')
    \printf '%s\n' 'atomicops: this shell: not bash; use bash atomic-write.sh' >&2
    \exit 69
    ;;
esac

# So that exported functions hide nothing, and these are no more. A backslash keeps a word from being an alias.
POSIXLY_CORRECT=1
\unset -f readlink printf
_ao_self=${BASH_SOURCE[0]}
if [[ -L $_ao_self ]]; then
  _ao_self=$(\readlink -f -- "$_ao_self")
fi
[[ $_ao_self == */* ]] || _ao_self=./$_ao_self
if [[ ! -r ${_ao_self%/*}/atomicops.sh ]]; then
  \printf 'atomicops: %s: cannot be read; keep it beside atomic-write.sh\n' "${_ao_self%/*}/atomicops.sh" >&2
  \exit 69
fi
_ao_alone=$$
# shellcheck source-path=SCRIPTDIR source=atomicops.sh
\. "${_ao_self%/*}/atomicops.sh" || \exit
[[ ${1-} == @(--help|-h) && $# == 1 ]] || _ao_perl script "$@"

# shellcheck disable=SC2016 # the text itself
\printf '%s' 'usage: atomic-write.sh [--if-version VERSION] CONTENT|- TARGET

Replaces TARGET by CONTENT, at once: a reader sees the old file or the new one, whole.
CONTENT is text, and a newline is added as `echo` does. With - as CONTENT, standard input is taken, byte for byte
(and of any size). A TARGET named *.json must get exactly one JSON value, or else it stays as it is (status 65).
TARGET keeps its mode, owner and extended attributes; if it is a symlink, what it leads to is replaced.

  --if-version VERSION   only if TARGET still has that version: "sha256-" and the digits that sha256sum prints, or
                         "absent" for a file that must not be there yet; otherwise status 76

Environment:
  ATOMICOPS_DURABILITY   full (default): survives a power loss; file: the file is synced, its name not; none
  ATOMICOPS_LOCK_TIMEOUT seconds to wait for other writers (default 30), or none: for ever
  ATOMICOPS_VALIDATE     yes (default) or no: check *.json

Exit status: 0 written (and durable, as asked); 64 usage; 65 invalid data; 69 a program is missing; 73 cannot create, or
not permitted; 74 I/O error, or changed but perhaps not durable: the message says which; 75 lock; 76 version conflict.
'
