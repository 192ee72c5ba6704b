"""What one buffer of Python says: syntax tree, scopes, data flow, and the values of its expressions."""
