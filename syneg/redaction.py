"""Secrets stay out of everything that is written or shown: a config that holds one is refused, a text is masked.

A secret reaches a run by its environment alone (AWS_SECRET_ACCESS_KEY, RAY_AUTH_TOKEN, an engine's API key), which is
read where it is needed and never copied into a config, an entry point or a runtime_env.
"""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

MASK = "[redacted]"
_SHORTEST = 8  # characters; masking every "true" because a variable holds it would leave no text

# Forms that the issuers publish. Each is long or odd enough that prose does not match it.
_FORMS = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS access key
    r"|\bhf_[A-Za-z0-9]{30,}\b"  # Hugging Face
    r"|\bsk-[A-Za-z0-9_-]{20,}"  # OpenAI and those who took over its form
    r"|\bgh[pousr]_[A-Za-z0-9]{36,}\b"  # GitHub
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}"  # Slack
    r"|\bAIza[0-9A-Za-z_-]{35}\b"  # Google
    r"|\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+"  # a signed JSON web token
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")  # s3://key:secret@bucket
_AFTER_NAME = re.compile(
    r"(?i)((?:authorization:\s*bearer|bearer|x-amz-signature=|x-amz-security-token=|x-amz-credential=)\s*)[^\s&\"']+"
)
_IN_QUERY = re.compile(  # https://host/v1?api-key=secret
    r"(?i)([?&](?:key|sig|(?:subscription|access)[_-]key|(?:[a-z]+[_-])?(?:api[_-]?key|token|secret|password))=)"
    r"[^\s&#\"']+"
)
_NAMES = re.compile(
    r"(?i)^(?:(?:.*[_-])?(?:api[_-]?key|secret|secret_key|secret_access_key|access_key(?:_id)?|password|passwd"
    r"|passphrase|(?:access|api|auth|bearer|hf|refresh|session)_?token|bearer|private_key|credentials?)"
    r"|token|authorization)$"  # by themselves: eos_token and the like are words of a model
)
_VARIABLES = re.compile(r"(?i)(?:SECRET|TOKEN|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIAL)")
_PATHS = re.compile(r"(?i)(?:_PATH|_FILE|_DIR|_URI|_URL|PARALLELISM|MODE)$")  # these name a place or a switch


def redacted(text: str, environment: Mapping[str, str] | None = None) -> str:
    """`text` with every secret masked: known forms, and the values of variables that are secret by their names."""
    for value in _secret_values(os.environ if environment is None else environment):
        text = text.replace(value, MASK)
    text = _FORMS.sub(MASK, text)
    text = _IN_ADDRESS.sub(MASK, text)
    for named in (_AFTER_NAME, _IN_QUERY):
        text = named.sub(lambda found: found[1] + MASK, text)
    return text


def without(text: str, secret: str) -> str:
    """`text` with this one secret masked. What is shorter than any key ("EMPTY") is none, but a word of a text."""
    return text.replace(secret, MASK) if len(secret) >= _SHORTEST else text


def _secret_values(environment: Mapping[str, str]) -> list[str]:
    values = {
        value
        for name, value in environment.items()
        if len(value) >= _SHORTEST and _VARIABLES.search(name) and not _PATHS.search(name)
    }
    return sorted(values, key=len, reverse=True)  # the longer first, lest a shorter one leave its rest behind


def found_in(settings: Any, key: str = "") -> Iterator[str]:
    """The keys below `settings` (mappings, lists, values, as `model_dump` gives them) that hold a secret."""
    if isinstance(settings, Mapping):
        for name, value in settings.items():
            yield from found_in(value, f"{key}.{name}" if key else str(name))
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from found_in(value, key)
    elif isinstance(settings, str | int | float) and not isinstance(settings, bool):
        text = str(settings)  # a password may be a number to YAML
        named_so = text and _NAMES.search(key.rpartition(".")[2])
        if named_so or redacted(text) != text:
            yield key
