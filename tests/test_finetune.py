from benchmarks.finetune import learning_curves


def test_rows_of_earlier_calls_become_curves():
    rows = [
        "| set | train lines | start | minutes | exact % | CER % | folded exact % |",
        "|---|---|---|---|---|---|---|",
        "| plates | 54 | base | 8.0 | 90.00 | 2.50 | 91.00 |",
        "| plates | 2,540 | base | 8.0 | 98.00 | 0.25 | 98.00 |",
        "| plates | 54 | base | 8.0 | 91.00 | 2.00 | 91.00 |",  # once more, so it counts
        "| receipts | 54 | nothing | 8.0 | 1.00 | 75.00 | 1.00 |",
        "| receipts | 0 | RapidOCR | 0 | 9.00 | 12.00 | 9.00 |",  # learnt nothing of it
        "receipts from base: 27 more lines …",
    ]
    assert learning_curves(rows) == {
        "plates": {"base": {54: 0.02, 2540: 0.0025}},
        "receipts": {"nothing": {54: 0.75}},
    }
