"""The ways into the graph, independent of each other; each makes graphs through `graph.builder` only."""
