"""Where things are kept: no credentials in a config, and an endpoint that is one."""

import pytest

from syneg.config import overrides
from syneg.errors import BadInput

DEMO = "configs/demo.yaml"


@pytest.mark.parametrize("key", ["access_key", "secret_access_key", "session_token", "aws_access_key_id", "password"])
def test_a_config_with_a_key_is_refused(key: str) -> None:
    with pytest.raises(BadInput, match=rf"storage\.{key} holds a secret.*by the environment"):
        overrides.load(DEMO, [f"storage.{key}=AKIA"])


def test_a_config_names_no_profile() -> None:
    with pytest.raises(BadInput, match=r"yaml: storage\.profile: no credentials in a config"):
        overrides.load(DEMO, ["storage.profile=mine"])


def test_an_endpoint_is_an_address_without_a_password() -> None:
    with pytest.raises(BadInput, match=r"holds (credentials|a secret)"):
        overrides.load(DEMO, ["storage.endpoint_url=http://me:mine@host:8333"])
    with pytest.raises(BadInput, match="expected http://host:port"):
        overrides.load(DEMO, ["storage.endpoint_url=host:8333"])
    config = overrides.load(DEMO, ["storage.endpoint_url=http://host:8333", "storage.region=eu-1"])
    assert config.storage.environment == {
        "AWS_ENDPOINT_URL": "http://host:8333",
        "AWS_REGION": "eu-1",
        "AWS_DEFAULT_REGION": "eu-1",
    }
    assert overrides.load(DEMO).storage.environment == {}
