"""How facts enter the log.

publisher       events into Kafka: never blocks a pick, keeps what Kafka can't take now
  batching      events → messages → one batch per partition    pure
  entries       what waits in the queue, and what waits for it
  delivery      messages to the events topic, an answer for each
  link          the Kafka producer: deadlines, faults, replacement
  recovery      notices Kafka's return and empties the spool
  spool         the durable local queue
client          the HTTP API's client, for gateways that route elsewhere
classifier      the request type of a conversation              pure
signals         what a request says about the turn before it    pure
calibration     what the signals are worth                      pure
  words, cues   texts as word symbols; weighed cues             pure
errors          what can go wrong, as one tree
"""
