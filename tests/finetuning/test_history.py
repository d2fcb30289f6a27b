import pytest

from crnnkit.finetuning.history import (
    EpochResult,
    best_epoch,
    epochs_without_gain,
    read_history,
    write_history,
)


def epoch(number, val_cer, general_cer=None, val_loss=1.0):
    return EpochResult(number, 1.5, 0.5, val_loss, val_cer, 0.1, 1e-3, 250.0, 12.5, general_cer)


def test_history_survives_the_file(tmp_path):
    history = [epoch(1, 0.4), epoch(2, 0.3, 0.05)]
    write_history(tmp_path / "history.csv", history)
    assert read_history(tmp_path / "history.csv") == history
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


@pytest.mark.parametrize(
    ("history", "limit", "best"),
    [
        ([epoch(1, 0.4), epoch(2, 0.3), epoch(3, 0.5)], None, 2),
        # 0.02 more on 100 characters may be luck: the standard error is 0.046
        ([epoch(1, 0.3), epoch(2, 0.32), epoch(3, 0.36)], None, 2),
        # no error at all is beyond luck
        ([epoch(1, 0.0), epoch(2, 0.01)], None, 1),
        # worse than nothing read: more characters inserted than there are
        ([epoch(1, 1.2), epoch(2, 1.1)], None, 2),
        # the second reads best but has forgotten too much
        ([epoch(1, 0.4, 0.05), epoch(2, 0.1, 0.30), epoch(3, 0.3, 0.06)], 0.06, 3),
        # all have forgotten too much: the domain decides
        ([epoch(1, 0.4, 0.20), epoch(2, 0.1, 0.30), epoch(3, 0.4, 0.20)], 0.06, 2),
    ],
)
def test_best_epoch(history, limit, best):
    assert best_epoch(history, limit, 100).epoch == best


@pytest.mark.parametrize(
    ("cers", "expected"),
    [((), 0), ((0.4,), 0), ((0.4, 0.3, 0.5, 0.3), 2), ((0.4, 0.3, 0.2), 0)],
)
def test_epochs_without_gain(cers, expected):
    assert epochs_without_gain([epoch(n, cer) for n, cer in enumerate(cers, 1)]) == expected


def test_line_for_the_log():
    plain = "Epoch 1/50 | Loss: 1.500 | CER: 0.500 | Val Loss: 1.000 | Val CER: 0.400"
    assert epoch(1, 0.4).line(50) == plain
    assert epoch(1, 0.4, 0.05).line(50) == plain + " | General CER: 0.050"
