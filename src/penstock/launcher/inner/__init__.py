"""What runs in the user's interpreter around one call of a function: standard library and `values` only."""
