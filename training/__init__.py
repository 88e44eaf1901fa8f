"""From labelled sessions to weights: reading, fitting, evaluating, publishing."""
