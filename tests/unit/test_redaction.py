"""Planted keys: nothing that is shown or written may hold one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from syneg.config import overrides
from syneg.errors import BadInput
from syneg.redaction import MASK, found_in, redacted
from syneg.settings.generate import OpenaiEngine

# Put together here, so that no scanner of this repository takes them for real.
PLANTED = {
    "AWS": "AKIA" + "ABCDEFGHIJKLMNOP",
    "Hugging Face": "hf_" + "a1B2" * 9,
    "OpenAI": "sk-" + "proj-" + "Zz9" * 10,
    "GitHub": "ghp_" + "a1B2" * 9,
    "Slack": "xoxb-" + "1234567890-abc",
    "Google": "AIza" + "a" * 35,
    "JWT": "eyJ" + "a" * 12 + ".eyJ" + "b" * 12 + "." + "c" * 20,
    "key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
}


@pytest.mark.parametrize("secret", PLANTED.values(), ids=PLANTED)
def test_known_forms_are_masked(secret: str) -> None:
    assert redacted(f"before {secret} after", {}) == f"before {MASK} after"


def test_what_the_environment_calls_secret_is_masked_wherever_it_stands() -> None:
    environment = {"AWS_SECRET_ACCESS_KEY": "wJalr/XUtnFEMI+bPx", "RAY_AUTH_TOKEN": "t0k3n-t0k3n-t0k3n"}
    text = "PUT https://b/k?x=wJalr/XUtnFEMI+bPx&t=t0k3n-t0k3n-t0k3n"
    assert redacted(text, environment) == f"PUT https://b/k?x={MASK}&t={MASK}"


def test_switches_and_places_are_no_secrets() -> None:
    environment = {
        "TOKENIZERS_PARALLELISM": "falsehood",
        "RAY_AUTH_TOKEN_PATH": "/home/ray/token",
        "MY_TOKEN": "true",
    }
    assert redacted("falsehood /home/ray/token true", environment) == "falsehood /home/ray/token true"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://key:secret@bucket/a", f"s3://{MASK}@bucket/a"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {MASK}"),
        ("https://b/k?X-Amz-Signature=abc123&y=1", f"https://b/k?X-Amz-Signature={MASK}&y=1"),
        ("https://host/v1?api-version=2&api-key=abc#x", f"https://host/v1?api-version=2&api-key={MASK}#x"),
        ("https://host/v1?key=abc&access_token=def", f"https://host/v1?key={MASK}&access_token={MASK}"),
        ("https://host/v1?max_tokens=5&monkey=6", "https://host/v1?max_tokens=5&monkey=6"),
        ("s3://bucket/a@b:c/d", "s3://bucket/a@b:c/d"),
        ("the tokens of sk-learn and a ghost", "the tokens of sk-learn and a ghost"),
    ],
)
def test_addresses_and_headers(text: str, expected: str) -> None:
    assert redacted(text, {}) == expected


def test_a_config_with_a_secret_is_refused_by_its_key_alone() -> None:
    for name, secret in PLANTED.items():
        with pytest.raises(BadInput, match=r"generate\.engine\.engine_kwargs\.download_dir holds a secret") as refused:
            overrides.load("configs/demo.yaml", [f"generate.engine.engine_kwargs.download_dir={json.dumps(secret)}"])
        assert secret not in str(refused.value), name
    with pytest.raises(BadInput, match="hf_token"):
        overrides.load("configs/demo.yaml", ["generate.engine.engine_kwargs.hf_token=plainword"])


@pytest.mark.parametrize("name", ["api-key", "api_key", "apikey", "key", "token"])
def test_an_address_with_a_secret_in_its_query_is_refused(name: str) -> None:
    engine = f"{{kind: openai, model: m, base_url: 'https://host/v1?{name}=abc'}}"
    with pytest.raises(BadInput, match=r"generate\.engine\.base_url holds a secret") as refused:
        overrides.load("configs/demo.yaml", [f"generate.engine={engine}"])
    assert "abc" not in str(refused.value)


@pytest.mark.parametrize(
    "setting",
    [
        "engine_kwargs.token=a",
        "engine_kwargs.api_key=abc",
        "engine_kwargs.password=1234",
        "engine_kwargs.hf_token=x",
        "extra_body.api_key=short",
        "extra_body.headers={x-api-key: k}",
    ],
)
def test_what_is_named_a_secret_is_one_however_short(setting: str) -> None:
    with pytest.raises(BadInput, match=r"generate\.engine\.[a-z_.-]+ holds a secret"):
        overrides.load("configs/demo.yaml", [f"generate.engine.{setting}"])


def test_what_is_named_like_one_is_none() -> None:
    settings = {"token": True, "api_key": None, "password": "", "max_tokens": 5, "eos_token": "</s>", "key_env": "A"}
    assert list(found_in(settings)) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("generate.engine.api_key", "abc"),
        ("generate.engine.api_key", "null"),
        ("judge.engine.api_key", "abc"),
        ("generate.engine.extra_body.api_key", "abc"),
    ],
)
def test_an_engines_key_is_pointed_to_the_environment(key: str, value: str) -> None:
    with pytest.raises(BadInput) as refused:
        overrides.load("configs/demo.yaml", [f"{key}={value}"])
    engine = key[: key.index("engine") + len("engine")]
    assert f"{engine}.api_key_env (kind openai) takes the NAME of an environment variable" in str(refused.value)
    assert "the key itself belongs in the environment" in str(refused.value)


@pytest.mark.parametrize(
    "name", ["OPENAI_API_KEY", "_key2", "lower_case_name_of_some_length_1", "MYSERVICESKEYFORTEAM2"]
)
def test_the_name_of_a_variable(name: str) -> None:
    engine = OpenaiEngine.model_validate({"kind": "openai", "model": "m", "api_key_env": name})
    assert engine.api_key_env == name


@pytest.mark.parametrize(
    "key", ["0123456789abcdef0123", "abcdefabcdefabcdefab", "sk-short", "2KEY", "MY KEY", "", "$KEY", "a1B2" * 8]
)
def test_a_key_is_no_name_of_a_variable_and_is_not_shown(key: str) -> None:
    setting = json.dumps({"kind": "openai", "model": "m", "api_key_env": key})
    with pytest.raises(BadInput) as refused:
        overrides.load("configs/demo.yaml", [f"generate.engine={setting}"])
    message = str(refused.value)
    assert f"generate.engine.api_key_env: the {len(key)} characters given are no name" in message
    assert not key or key not in message


def test_the_shipped_configs_hold_none() -> None:
    configs = list((Path(__file__).parents[2] / "configs").rglob("*.yaml"))
    assert len(configs) > 10
    for path in configs:
        assert list(found_in(yaml.safe_load(path.read_text(encoding="utf-8")))) == [], path


def test_an_unexpected_failure_shows_no_secret() -> None:
    """Also a traceback, and a value that a validator would quote."""
    secret = PLANTED["AWS"]
    code = f"import syneg.cli as c\nc.app = lambda: (_ for _ in ()).throw(RuntimeError('{secret} leaked'))\nc.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"RuntimeError: {MASK} leaked" in done.stderr
    assert secret not in done.stderr
