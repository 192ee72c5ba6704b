"""`python -m gematria_ops.formats.protos`: generates the code of the .proto files again."""

import sys

from gematria_ops.formats.protos.compile import PROTO_FOLDER, compile_protos

if __name__ == "__main__":
    for path in compile_protos(PROTO_FOLDER):
        print(path, file=sys.stderr)
