"""A program that imports what its arguments say; the tests of faults run it in a process of its own.

    python -m tests.gematria.data.importing_program merge|single CSV OUTPUT WORKERS [--file-size-limit BYTES]

At the end it prints its peak memory and that of its largest worker, in KiB.
"""

import argparse
import json
import resource
import sys
from pathlib import Path

from gematria_ops.data.importing import import_bhive
from gematria_ops.data.merging import import_and_merge
from ops_common.errors import OpsError


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("merge", "single"))
    parser.add_argument("csv_file", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("num_workers", type=int)
    parser.add_argument("--file-size-limit", type=int)
    options = parser.parse_args()
    if options.file_size_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.file_size_limit, options.file_size_limit))
    try:
        if options.kind == "merge":
            import_and_merge([options.csv_file], ["test"], options.output, num_workers=options.num_workers)
        else:
            import_bhive(options.csv_file, "test", options.output, num_workers=options.num_workers)
    except OpsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    # Not ru_maxrss for the program itself: that one begins with the memory of whoever started it.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peaks = {
        "main": int(status["VmHWM"].split()[0]),
        "worker": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
    }
    print(json.dumps(peaks))
    return 0


if __name__ == "__main__":
    sys.exit(main())
