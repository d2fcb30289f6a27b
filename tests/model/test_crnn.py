from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from crnnkit.model.config import ModelConfig, Stage
from crnnkit.model.crnn import CRNN, ClassicCRNN
from crnnkit.model.foreign import MEIJIERU, MODELSCOPE

TINY = ModelConfig(stages=(Stage(4, (4, 2)), Stage(6, (4, 2), 2)), bottleneck=8, lstm_hidden=5)


@pytest.mark.parametrize("width", [1, 8, 9, 31, 32, 100, 321])
def test_the_network_yields_the_time_steps_that_its_config_tells(width):
    logits = CRNN(TINY, 7).eval()(torch.zeros(2, 1, 32, width))
    assert logits.shape == (2, TINY.time_steps(width), 7)


@pytest.mark.parametrize("config", [TINY, ModelConfig()], ids=["tiny", "default"])
def test_a_time_step_sees_as_many_pixels_as_its_config_tells(config):
    line = torch.rand(1, 1, 32, 256, requires_grad=True)
    step = config.time_steps(256) // 2
    CRNN(config, 7).eval().features(line)[0, step].sum().backward()
    seen = line.grad[0, 0].abs().sum(0).nonzero().ravel()
    assert seen.max() - seen.min() + 1 == config.receptive_field
    assert (seen.max() + seen.min()) / 2 == step * 256 / config.time_steps(256)


@pytest.mark.parametrize("layout", [MODELSCOPE, MEIJIERU])
def test_classic_networks_yield_the_time_steps_that_their_configs_tell(layout):
    convs = tuple(replace(conv, channels=4) for conv in layout.network.convs)
    config = replace(layout.network, convs=convs, lstm_hidden=3)
    model = ClassicCRNN(config, 7).eval()
    for width in range(4, 120):
        logits = model(torch.zeros(1, 1, 32, width))
        assert logits.shape == (1, config.time_steps(width), 7)


def test_a_line_reads_the_same_alone_and_in_a_batch():
    model = CRNN(TINY, 7).eval()
    images = torch.randn(5, 1, 32, 64)
    torch.testing.assert_close(model(images)[2:3], model(images[2:3]))


def test_gradients_reach_every_weight():
    model = CRNN(TINY, 7)
    torch.nn.init.normal_(model.context.weight)  # it starts at zero and would hide the LSTM
    model(torch.randn(2, 1, 32, 64)).square().sum().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_in_training_a_share_of_the_lines_is_read_without_context():
    torch.manual_seed(0)
    model = CRNN(replace(TINY, dropout=0.4), 7)
    torch.nn.init.normal_(model.context.weight)
    features = torch.randn(500, 4, TINY.bottleneck)
    context = model.eval()._context(features)
    varied = model.train()._context(features)
    silent = (varied == 0).all(2).all(1)
    assert 0.3 < silent.float().mean() < 0.5
    torch.testing.assert_close(varied[~silent], context[~silent] / 0.6)


def test_the_lstm_need_not_see_lines_that_are_read_without_context(monkeypatch):
    torch.manual_seed(0)
    model = CRNN(replace(TINY, dropout=0.4), 7).train()
    torch.nn.init.normal_(model.context.weight)
    seen, neighbours = [], model._neighbours
    monkeypatch.setattr(model, "_neighbours", lambda x: seen.append(len(x)) or neighbours(x))
    context = model._context(torch.randn(50, 4, TINY.bottleneck))
    assert seen == [context.any(2).any(1).sum()]
    model.dropout.p = 1.0
    assert not model._context(torch.randn(50, 4, TINY.bottleneck)).any()
    assert len(seen) == 1


def test_the_recurrent_branch_starts_as_if_it_were_not_there():
    model = CRNN(TINY, 7).eval()
    images = torch.randn(1, 1, 32, 64)
    without = model.head(torch.relu(model.features(images)))
    torch.testing.assert_close(model(images), without)


def test_a_line_with_the_whole_alphabet_costs_at_most_one_gigaflop():
    config, hidden = ModelConfig(), ModelConfig().lstm_hidden
    with FlopCounterMode(display=False) as counter:
        CRNN(config, 6900).eval()(torch.zeros(1, 1, 32, 320))
    # the counter knows no LSTM: 2 directions, 4 gates, a multiplication and an addition each
    lstm = 2 * 2 * config.time_steps(320) * 4 * hidden * (config.bottleneck + hidden)
    assert counter.get_total_flops() + lstm <= 1.0e9
