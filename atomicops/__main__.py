# Copyright (c) the atomicops developers. SPDX-License-Identifier: MIT
"""``python -m atomicops``: the helpers for any language."""

import sys

from . import _exits

_exits.keep_standard_descriptors()
_exits.catch_signals()
try:
    from ._cli import main

    code = main(sys.argv[1:])
except _exits.Signalled as signalled:
    _exits.end(1, signalled.args[0])
_exits.end(code)
