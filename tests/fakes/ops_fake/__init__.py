"""A library in the form of ours, whose tasks do what the tests of `op_task` need."""
