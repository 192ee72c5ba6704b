"""The example viewer: a page over stored completions, and over the model live."""
