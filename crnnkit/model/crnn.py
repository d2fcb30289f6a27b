"""The CRNNs: convolutions see strokes, BiLSTMs see neighbours, a head names characters."""

import math
from typing import cast

import torch
from torch import Tensor, nn

from crnnkit.model.config import ClassicConfig, ClassicConv, ModelConfig, NetworkConfig, Stage
from crnnkit.vocab import BLANK_ID


class ConvUnit(nn.Module):
    """3x3 convolution, batch norm, ReLU; residual where shapes allow it."""

    def __init__(self, in_channels: int, out_channels: int, stride_hw: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride_hw, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.is_residual = in_channels == out_channels and stride_hw == (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C', ⌈H/stride⌉, ⌈W/stride⌉)."""
        y = self.norm(self.conv(x))
        return torch.relu(x + y if self.is_residual else y)


def _conv_stack(stages: tuple[Stage, ...]) -> nn.Sequential:
    units: list[ConvUnit] = []
    channels = 1
    for stage in stages:
        for index in range(stage.num_convs):
            stride = stage.stride_hw if index == 0 else (1, 1)
            units.append(ConvUnit(channels, stage.channels, stride))
            channels = stage.channels
    return nn.Sequential(*units)


class CRNN(nn.Module):
    """Convolutional recurrent network (Shi et al. 2015, arXiv 1507.05717), light.

    The LSTM is a branch beside the bottleneck, added to it, not a stage after it: a network
    whose convolutions were trained on single glyphs keeps what it knows when lines begin.
    """

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        channels = config.stages[-1].channels
        self.convs = _conv_stack(config.stages)
        self.bottleneck = nn.Sequential(
            nn.Conv2d(channels, config.bottleneck, (config.final_height, 1), bias=False),
            nn.BatchNorm2d(config.bottleneck),
        )
        self.lstm = nn.LSTM(
            config.bottleneck, config.lstm_hidden, batch_first=True, bidirectional=True
        )
        self.context = nn.Linear(2 * config.lstm_hidden, config.bottleneck)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.bottleneck, vocab_size)
        self._start()

    def _start(self) -> None:
        """Initial values that leave CTC's all-blank plateau in a fifth of the usual steps.

        Logits of unit size, and a blank that is as likely as all characters together: the
        network need not find out first that most time steps are blank (benchmarks/LOG.md).
        """
        nn.init.zeros_(self.context.weight)  # the branch starts as if it were not there
        nn.init.zeros_(self.context.bias)
        nn.init.normal_(self.head.weight, std=self.config.bottleneck**-0.5)
        nn.init.zeros_(self.head.bias)
        with torch.no_grad():
            self.head.bias[BLANK_ID] = math.log(self.vocab_size)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, H, W), lines as `line_to_array` makes them → logits (B, T, V)."""
        return cast(Tensor, self.head(self.hidden(images)))

    def hidden(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) → what the head sees of each time step, (B, T, bottleneck)."""
        features = self.features(images)
        return cast(Tensor, self.dropout(torch.relu(features + self._context(features))))

    def _context(self, features: Tensor) -> Tensor:
        """What the LSTM adds to each step, (B, T, bottleneck); in training not to every line.

        With few lines it learns by heart what stands where in them, and the convolutions rely on
        that: a line without context can only be read by its strokes (a branch that is left out
        for whole samples: Huang et al. 2016, "Deep Networks with Stochastic Depth").
        """
        if not self.training:
            return cast(Tensor, self.context(self._neighbours(features)))
        scale = self.dropout(features.new_ones(len(features)))  # 0, or 1 by the share of the rest
        context, kept = torch.zeros_like(features), scale.nonzero().squeeze(1)
        if len(kept):
            seen = self.context(self._neighbours(features[kept])) * scale[kept, None, None]
            context[kept] = seen.to(context.dtype)
        return context

    def _neighbours(self, features: Tensor) -> Tensor:
        """(B, T, bottleneck) → what the LSTM sees left and right of each step, (B, T, 2·hidden).

        Under autocast cuDNN's LSTM computes in float16 whatever type was asked for, and the small
        gradients of a mean over a large batch vanish there: on a GPU it stays in float32.
        """
        if features.is_cuda:
            with torch.autocast("cuda", enabled=False):
                return cast(Tensor, self.lstm(features.float())[0])
        return cast(Tensor, self.lstm(features)[0])

    def features(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) → what the convolutions alone see of each time step, (B, T, bottleneck)."""
        x = self.bottleneck(self.convs(images))  # (B, bottleneck, 1, T)
        return cast(Tensor, x.squeeze(2).transpose(1, 2))

    @property
    def vocab_size(self) -> int:
        """Vocabulary size V, blank included."""
        return self.head.out_features


class ClassicUnit(nn.Sequential):
    """What a `ClassicConv` describes."""

    def __init__(self, in_channels: int, config: ClassicConv) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, config.channels, config.kernel_hw, padding=config.padding
        )
        if config.has_norm:
            self.norm = nn.BatchNorm2d(config.channels)
        self.relu = nn.ReLU()
        if (pool := config.pool) is not None:
            self.pool = nn.MaxPool2d(pool.kernel_hw, pool.stride_hw, pool.padding_hw)


class ClassicCRNN(nn.Module):
    """Convolutional recurrent network with two BiLSTMs in a row (Shi et al. 2015).

    Slower than `CRNN`; it is here for weights that others trained.
    """

    def __init__(self, config: ClassicConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        channels = [1, *(conv.channels for conv in config.convs)]
        self.convs = nn.Sequential(*map(ClassicUnit, channels, config.convs))
        hidden = config.lstm_hidden
        self.lstm1 = nn.LSTM(channels[-1], hidden, batch_first=True, bidirectional=True)
        self.between = nn.Linear(2 * hidden, hidden)
        self.lstm2 = nn.LSTM(hidden, hidden, batch_first=True, bidirectional=True)
        features = config.projection or 2 * hidden
        self.projection = nn.Linear(2 * hidden, features) if config.projection else nn.Identity()
        self.head = nn.Linear(features, vocab_size, bias=config.head_bias)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, H, W), lines as `line_to_array` makes them → logits (B, T, V)."""
        return cast(Tensor, self.head(self.hidden(images)))

    def hidden(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) → what the head sees of each time step, (B, T, features)."""
        features = self.convs(images).squeeze(2).transpose(1, 2)  # (B, T, C)
        context = self.lstm2(self.between(self.lstm1(features)[0]))[0]
        return cast(Tensor, self.projection(context))


def make_network(config: NetworkConfig, vocab_size: int) -> CRNN | ClassicCRNN:
    """A network of random weights of the described shape."""
    if isinstance(config, ClassicConfig):
        return ClassicCRNN(config, vocab_size)
    return CRNN(config, vocab_size)
