"""Dead letters: records that could not be folded, looked at and published again once their cause is
gone.

letters    what a dead letter is, and what became of it      pure
store      them in Postgres
redrive    their bytes into the events topic again
render     them for people and as JSON                       pure
"""
