"""Plays recorded routing logs: what would this router have learned from my traffic, and how fast?

player.play plays, on a gateway from http_gateway or embedded_gateway, as options.PlayOptions says;
render.render shows its report.Report to people, Report.to_json to programs.

Nothing is imported here, so that the command line can know our errors without loading the rest.
"""
