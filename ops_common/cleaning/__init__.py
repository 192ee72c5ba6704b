"""Old runs and data go, and nothing else: what there is, what of it may go and why, and how it is removed.

inventory.py  runs, data sets, samples, checkpoints and leftovers below the two roots, each with age and size
choosing.py   the rules: what stays for which reason, what goes
removing.py   one folder out of its root, in a way that no half of it is ever taken for the whole
reporting.py  counts and bytes by reason, as JSON and as text
"""
