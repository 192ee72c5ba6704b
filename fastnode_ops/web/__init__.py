"""What the HTTP servers of this library share: bodies, errors, the process."""
