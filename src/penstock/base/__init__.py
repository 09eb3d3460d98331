"""The lowest room: identifiers, instants, digests, the error tree and diagnostics. Standard library only."""
