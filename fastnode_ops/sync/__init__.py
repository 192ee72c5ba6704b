"""The syncer: brings finished sample files from many hosts into one folder, each once, and says which are there."""
