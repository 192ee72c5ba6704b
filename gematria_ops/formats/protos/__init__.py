"""Protocol buffer messages, compatible with Gematria's on the wire and in their descriptors.

The generated code stands in the repository, so that nothing needs a compiler at run time. After a change of a
.proto file, write it again with

    make protos        (python -m gematria_ops.formats.protos)
"""
