"""Rebuild: the log folded anew beside the live tables, by the same code.

settings   what may differ from the live fold, and the log as it would have been        pure
bounds     from where to where: times and offsets to a range for each partition         pure
id_table   128-bit ids to integers in numpy: turn states and sessions in memory         pure
state      one partition's state in memory, folded batch by batch                       pure
contents   what a fold leaves, its digest, and where two of them differ                 pure
pacing     how fast: a rate, and rest while the live consumer falls behind              pure
log        the events topic, read by range
side       the side schema: made, listed, loaded, saved, dropped
worker     one process: its partitions from their checkpoints to their ends
crew       the workers of a command: started, slowed down, watched, ended
rebuild    `routefold rebuild`
verify     `routefold verify`
follower   a fold that is not live, brought to where the live one is
switch     the transaction that makes it the live one
promote    `routefold promote` and `rollback`
"""
