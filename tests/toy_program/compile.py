"""What stands in for a compiler: it writes one file, or fails."""

import pathlib
import sys

if sys.argv[1] == "broken":
    sys.exit("program.c:3: error: expected ';'\n1 problem")
pathlib.Path(sys.argv[2]).write_text(sys.argv[1])
