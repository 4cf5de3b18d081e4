"""The HTTP face: FastAPI around a RoutingService. `app.create_app` puts it together."""
