"""What to do where an engine fails: an error tells what it met, and not which setting has to do with it."""

import re

from syneg.settings.generate import Engine, OpenaiEngine

_STATUS = re.compile(r"Error code: (\d{3})")  # as OpenAI's client writes it
_FORM = re.compile(r"response_format|json_schema|json_object|json mode|structured output|guided", re.IGNORECASE)
_SIMPLER = {"json_schema": "json_object, or text", "json_object": "text"}


def advice(error: str, engine: Engine, section: str, otherwise: str) -> str:
    """Two sentences at most. `error` is what was told of the last request, `section` where the config has the engine;
    `otherwise` is said of what is not known here."""
    if not isinstance(engine, OpenaiEngine):
        return otherwise
    url, limits = f"{section}.base_url={engine.base_url}", f"{section}.limits"
    if "APITimeoutError" in error:
        return (
            f"See to the server at {url}, raise {limits}.timeout_seconds={engine.limits.timeout_seconds:g} or lower "
            f"{limits}.max_in_flight={engine.limits.max_in_flight}. Then run the same command again."
        )
    if "APIConnectionError" in error:
        return f"See that the server at {url} runs and lets itself be reached. Then run the same command again."
    found = _STATUS.search(error)
    status = int(found[1]) if found else 0
    if status in (400, 422) and _FORM.search(error) and engine.response_format in _SIMPLER:
        return (
            f"The endpoint does not take {section}.response_format={engine.response_format}: set it to "
            f"{_SIMPLER[engine.response_format]}. Then run the same command again."
        )
    if status in (401, 403) and engine.api_key_env is None:
        return f"Name the environment variable that holds the endpoint's key by {section}.api_key_env."
    if status in (401, 403):
        return (
            f"See to the key that the environment has in {engine.api_key_env} ({section}.api_key_env), and to what it "
            "may be used for. Then run the same command again."
        )
    if status == 404:
        return f"See that {url} leads to an OpenAI-compatible API that serves {section}.model={engine.model}."
    if status == 429:
        return (
            f"Lower {limits}.max_in_flight={engine.limits.max_in_flight} or set {limits}.requests_per_minute to what "
            "the endpoint allows. Then run the same command again."
        )
    return otherwise
