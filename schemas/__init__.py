"""The shared vocabulary: events and their Avro form, topics, evidence and posterior arithmetic.

Nothing here does I/O beyond reading the schema files shipped beside it, and nothing here imports
another package of this project.
"""
