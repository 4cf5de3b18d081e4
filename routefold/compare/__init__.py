"""Two learned states against each other: what differs, and what it means for picks.

learned   a rebuild or the live tables, as the routers that would pick from them
cells     evidence, beliefs and probabilities of each cell, of both sides          pure
flips     logged turns, picked by both sides                                        pure
turns     the latest turns of the log
diff      `routefold diff`
render    what was found, as text and as JSON
"""
