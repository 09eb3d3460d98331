"""The YAML front end: a file that says what the Python one says. `load` makes graphs of files, `write` files of graphs,
`edit` changes files line by line; `schema` says what may stand in a file."""
