"""`make doctor`: whether this machine, this checkout and the services around it are fit to work, and what to do if not.

One file for each kind of check; each check returns findings and changes nothing but files and objects of its own, which
it removes.
"""
