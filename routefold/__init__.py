"""The front door: command line, settings, local stack, player and demo.

The only package that knows all the others; nothing imports it.
"""
