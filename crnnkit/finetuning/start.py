"""Where a run begins: random weights, or a checkpoint in the vocabulary that the run needs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from crnnkit.dataset.faults import count_of
from crnnkit.errors import ConfigError, VocabError
from crnnkit.files import file_sha256
from crnnkit.finetuning.config import TrainConfig
from crnnkit.model.checkpoint import (
    Checkpoint,
    VocabChange,
    change_vocab,
    load_checkpoint,
    new_checkpoint,
)
from crnnkit.model.config import CheckpointInfo, ModelConfig, Stage
from crnnkit.model.crnn import CRNN
from crnnkit.preprocessing.tensors import LineConfig
from crnnkit.vocab import Vocab

FROM_NOTHING = ModelConfig(
    stages=(
        Stage(16, (2, 2)),
        Stage(48, (2, 2), num_convs=2),
        Stage(80, (2, 1), num_convs=2),
        Stage(128, (2, 1), num_convs=2),
    ),
    bottleneck=112,
    lstm_hidden=80,
    dropout=0.3,
)
"""The network of random weights: two fifths of the base's work, as it need not know 7,000
characters. In the minutes that a run has it sees its lines twice as often, and reads others with
an eighth to two fifths fewer wrong characters. The base's dropout of 0.1 suits the many lines that
it saw: with 0.3, 405 plates teach to read others a third better (benchmarks/LOG.md)."""


def starting_point(
    config: TrainConfig, texts: Sequence[str]
) -> tuple[Checkpoint, VocabChange | None]:
    """A network to train, with its description and what became of its vocabulary.

    Raises:
        CheckpointError: if the pretrained checkpoint cannot be used.
        ConfigError: if a dropout is asked for that the network cannot have.
        VocabError: if the vocabulary file lacks characters of the texts.
    """
    training = {
        "train_data_sha256": file_sha256(config.train_data),
        "pretrained_ckpt": config.pretrained_ckpt.name if config.pretrained_ckpt else None,
        "lr": config.peak_lr,
        "seed": config.seed,
    }
    own = Vocab.from_texts(texts)
    if config.pretrained_ckpt is None:
        vocab = _covering(config.vocab_path, texts) if config.vocab_path else own
        line_config = LineConfig(enhance=config.enhance)
        network = FROM_NOTHING
        if config.dropout is not None:
            network = replace(network, dropout=config.dropout)
        info = CheckpointInfo(vocab.charset, network, line_config, training=training)
        return new_checkpoint(info), None
    base = load_checkpoint(config.pretrained_ckpt)
    if config.vocab_path:
        vocab = _covering(config.vocab_path, texts)
    else:
        known = base.info.vocab
        vocab = Vocab(known.charset + "".join(c for c in own.charset if c not in known))
    checkpoint, change = change_vocab(base, vocab)
    line_config = replace(base.info.line, enhance=config.enhance, turn_below=0.0)
    info = replace(
        checkpoint.info, line=line_config, training=training, written_as={}, language=None
    )
    start = Checkpoint(checkpoint.model, info)
    return start if config.dropout is None else _with_dropout(start, config.dropout), change


def _with_dropout(checkpoint: Checkpoint, share: float) -> Checkpoint:
    """The same network, of whose head's inputs each step of training leaves out another share."""
    model = checkpoint.model
    if not isinstance(model, CRNN):
        raise ConfigError(f"dropout is {share}, but imported networks of this kind have none")
    model.config = replace(model.config, dropout=share)
    model.dropout.p = share
    return Checkpoint(model, replace(checkpoint.info, model=model.config))


def _covering(path: Path, texts: Sequence[str]) -> Vocab:
    """The vocabulary of a file, once it is sure that it can write all texts."""
    vocab = Vocab.load(path)
    coverage = vocab.coverage(texts)
    if coverage.missing:
        shown = " ".join(map(repr, list(coverage.missing)[:20]))
        raise VocabError(
            f"{path}: lacks {count_of(len(coverage.missing), 'character')} of the data, "
            f"{shown}, in {coverage.num_lines_missing} of {count_of(len(texts), 'line')}. "
            "Rebuild it (03_vocab), or leave vocab_path out: then they are added."
        )
    return vocab
