"""What `ray job submit --working-dir . -- python jobs/experiment.py CONFIG [key=value ...]` starts."""

import sys

from syneg.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["experiment"]
    main()
