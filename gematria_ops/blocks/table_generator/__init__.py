"""Makes the opcode table anew from an LLVM installation; see README.md. Not used at run time."""
