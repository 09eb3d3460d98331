"""What was asked for: the typed graph, its expressions, one builder, one checker, one codec. No IO."""
