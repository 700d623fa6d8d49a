"""Where things are kept, and how they are reached."""

from typing import Any
from urllib.parse import urlsplit

from pydantic import PositiveFloat, PositiveInt, field_validator
from pydantic import model_validator as _check

from syneg.settings.section import Address, Section

_SECRETS = ("key", "secret", "token", "password", "credential", "profile")


class StoreConfig(Section):
    """Where everything is kept.

    A worker never holds more than `part_rows` unsaved answers or vectors, or `part_seconds` of work: what a crash
    costs. How fast a worker answers is not known before it does, so its requests are limited by the rate in
    resources.estimate; a warning says where that was too high.
    """

    root: Address = "out"  # a folder, or s3://bucket/prefix
    part_rows: PositiveInt = 256
    part_seconds: PositiveFloat = 60.0


class StorageConfig(Section):
    """How s3:// addresses are reached. Credentials come from the environment, a profile or the machine's role."""

    endpoint_url: str | None = None  # of a server that is not AWS's: http://127.0.0.1:8333; None: $AWS_ENDPOINT_URL
    region: str | None = None  # None: $AWS_REGION, or the profile's

    @_check(mode="before")
    @classmethod
    def _holds_no_secret(cls, values: Any) -> Any:
        found = [name for name in values if any(word in str(name).lower() for word in _SECRETS)] if values else []
        if isinstance(values, dict) and found:
            raise ValueError(
                f"storage.{found[0]}: no credentials in a config, which is stored with every run. Give them by the "
                "environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), a profile (AWS_PROFILE) or the machine's role"
            )
        return values

    @field_validator("endpoint_url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "http://host")
        if parts.username or parts.password:
            raise ValueError("storage.endpoint_url holds credentials: give them by the environment instead")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"storage.endpoint_url is {url!r}; expected http://host:port or https://host")
        return url

    @property
    def environment(self) -> dict[str, str]:
        """What a process of the job needs in its environment to reach the same storage."""
        given = {"AWS_ENDPOINT_URL": self.endpoint_url, "AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}
        return {name: value for name, value in given.items() if value is not None}
