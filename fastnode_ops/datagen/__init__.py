"""Making sample files: the steps in ranges, shared out among hosts, made and written on each."""
