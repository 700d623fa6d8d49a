"""Where a job may be sent. A Ray head runs whatever it is sent, so the way to it has to be closed to others."""

import ipaddress
import os
from pathlib import Path
from urllib.parse import urlsplit

from syneg.errors import BadInput


def check(address: str, *, insecure: bool) -> None:
    """Refuses an address that is no URL, and one beyond this machine without a token and TLS, unless `insecure`.

    Raises:
        BadInput: with what is missing and how to mend it.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput(f"--address {address}: expected the dashboard's URL, e.g. http://127.0.0.1:8265.")
    if parts.username or parts.password:
        raise BadInput("--address holds a user or a password. Give the token by RAY_AUTH_TOKEN or ~/.ray/auth_token.")
    if is_loopback(parts.hostname) or insecure:
        return
    missing = []
    if not has_token():
        missing.append("no token is set (RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token)")
    if parts.scheme != "https":
        missing.append("http sends the token and the code in clear text")
    if missing:
        raise BadInput(
            f"--address {address} is not this machine, and {' and '.join(missing)}. Whoever reaches a Ray head can run "
            "code on the whole cluster.\nOpen a tunnel and submit to 127.0.0.1 (kubectl port-forward, ray dashboard), "
            "or put TLS before the head and set its token. --insecure sends it all the same."
        )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name that somebody's resolver decides on


def use_token() -> None:
    """Lets Ray's client send the token, if there is one. Before Ray is imported: it reads the mode once."""
    if has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def has_token() -> bool:
    """As Ray looks for one: the variable, the file that a variable names, the file in the home folder."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token").is_file()
