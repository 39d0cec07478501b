"""Read models: the table, the projector and the queries of one feature in one file."""
