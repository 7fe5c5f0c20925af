"""``python -m stress`` is the command ``stress``."""

import os
import sys

from stress.cli import main

if __name__ == "__main__":
    # The current directory comes last on the path, not first: what is imported from here on is what is installed.
    if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
        sys.path.append(sys.path.pop(0))
    main()
