"""What is said to have written an answer."""

from syneg.generate.engine import identity
from syneg.settings.generate import OpenaiEngine


def test_an_endpoint_is_known_by_its_model_and_not_by_its_address() -> None:
    def told(**settings: str) -> str:
        return identity(OpenaiEngine.model_validate({"kind": "openai", "model": "m"} | settings))

    assert told(base_url="http://a:1/v1") == told(base_url="http://b:2/v1") == "m"
    assert told(provider="one") == "m@one"
