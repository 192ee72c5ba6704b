"""A package for pytest, so that the server that its tests share is stopped behind the last of them."""
