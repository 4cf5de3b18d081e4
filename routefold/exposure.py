"""Says so when a server is opened to other machines: there is no authentication."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def exposure_warning(host: str) -> str | None:
    """What to tell the user about listening on `host`; None where there is nothing to tell."""
    if is_loopback(host):
        return None
    return (
        f"listening on {host}: other machines can reach the API, and it asks nobody who they are; "
        "put something in front of it that does"
    )
