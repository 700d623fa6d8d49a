"""What `ray job submit --working-dir . -- python jobs/run.py CONFIG [section.key=value ...]` starts: `syneg run`."""

import sys

from syneg.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["run"]
    main()
