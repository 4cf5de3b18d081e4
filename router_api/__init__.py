"""The router: picks arms from what was learned, and takes in what happened to them.

`routing` is the pure core. `subscriber` feeds it from Kafka; `service` is the whole router without
a web framework, for use in a gateway's own process; `http` puts it behind FastAPI.
"""
