"""Who runs a part, never what is true: one sibling per engine."""
