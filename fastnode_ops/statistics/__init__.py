"""What the corpus says about symbols: where they occur, and how they are called."""
