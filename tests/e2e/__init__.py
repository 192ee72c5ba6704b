"""A package for pytest, so that the platform that its tests share is stopped behind the last of them."""
