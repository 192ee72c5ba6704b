"""Other machines: their names, and commands and files sent there with `ssh` and `rsync`."""
