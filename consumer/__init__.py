"""The single writer: events in, evidence out.

decode   bytes → columns            pure
facts    columns → countable facts  pure
fold     facts → exact sums         pure
store    one Postgres transaction per batch, fenced
outbox   changed shares → snapshots topic
worker   the loop that joins them
"""
