"""CEL: `tree` (the types), `parse`, `print`, `check`, `evaluate`. Pure, standard library only."""
