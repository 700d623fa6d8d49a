"""Dropout on a CPU: the same as PyTorch's but for how its masks are drawn."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from syneg.encoder import dropout
from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from tests.tiny_bert import tiny_bert

TEXTS = ["red fox", "a text that is longer than the other one by far", "x"]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(999, 1001), (3, 7, 5)])
def test_a_share_of_p_is_dropped_and_the_rest_is_scaled(p: float, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    values = torch.rand(shape).add_(0.5).requires_grad_()
    found = dropout.dropped(values, p)
    gone = found == 0
    count = values.numel()
    assert abs(gone.sum().item() - p * count) < 4 * (p * (1 - p) * count) ** 0.5
    torch.testing.assert_close(found[~gone], values[~gone] / (1 - p))
    found.sum().backward()
    torch.testing.assert_close(values.grad, (~gone).float() / (1 - p))


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    gone = (dropout.dropped(torch.ones(1 << 18), 0.5) == 0).float() - 0.5
    for distance in (1, 2, 3, 4, 8):
        assert abs((gone[distance:] * gone[:-distance]).mean()) < 4 * 0.25 / len(gone) ** 0.5


def test_the_generator_s_state_replays_it() -> None:
    values, state = torch.ones(1000), torch.get_rng_state()
    first, second = dropout.dropped(values, 0.5), dropout.dropped(values, 0.5)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(dropout.dropped(values, 0.5), first)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_pytorch_s_but_for_the_mask_s_draw(monkeypatch: pytest.MonkeyPatch, masked: bool) -> None:
    monkeypatch.setattr(dropout, "dropped", lambda values, p: values)
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 4, 6, 8) for _ in range(3))
    mask = torch.ones(2, 1, 6, 6, dtype=torch.bool)
    mask[0, :, :, 4:] = False
    given = mask if masked else None
    module = nn.Module()
    found, _ = dropout._attention(module, query, key, value, given, dropout=0.1, scaling=0.3)
    expected, _ = sdpa_attention_forward(module, query, key, value, given, dropout=0.0, scaling=0.3, is_causal=False)
    torch.testing.assert_close(found, expected)


def test_an_encoder_drops_while_it_trains_and_saves_as_before(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "tiny", dropout=0.3)
    plain, changed = (Encoder.load(folder, Recipe("", "", 16, 16), "cpu") for _ in range(2))
    dropout.install(changed)
    kinds = [type(module).__name__ for module in changed.modules() if isinstance(module, nn.Dropout)]
    assert set(kinds) == {"_Dropout"}
    assert len(kinds) == sum(isinstance(module, nn.Dropout) for module in plain.modules()) > 0
    torch.testing.assert_close(*(torch.from_numpy(each.encode(TEXTS, "passage")) for each in (plain, changed)))

    tokens = changed.tokenize(TEXTS, "passage", 16)
    changed.train()
    features = changed.lay_out(tokens, tokens.lengths().argsort())
    assert not torch.equal(changed(features), changed(features))
    for name, encoder in (("plain", plain), ("changed", changed)):
        encoder.save(tmp_path / name)
    configs = [json.loads((tmp_path / name / "config.json").read_text()) for name in ("plain", "changed")]
    assert configs[0] == configs[1]
    assert "syneg" not in (tmp_path / "changed" / "config.json").read_text()
