"""The commands that concern data sets alone."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crnnkit.errors import ConfigError

if TYPE_CHECKING:
    from crnnkit.dataset.repair import Repair
    from crnnkit.vocab import Vocab

IndexFiles = Annotated[list[Path], typer.Argument(help="Index files, the training set's first.")]


def doctor(
    index: IndexFiles,
    vocab_path: Annotated[Path | None, typer.Option(help="Vocabulary to check against.")] = None,
    fix: Annotated[
        Path | None, typer.Option(help="New folder for repaired index files.", metavar="OUT_DIR")
    ] = None,
    rare_below: Annotated[
        int, typer.Option(help="Characters in fewer lines are listed as rare.", min=1)
    ] = 5,
    show_all: Annotated[bool, typer.Option("--all", help="Print all faults, not 20.")] = False,
) -> None:
    """Say what a data set consists of and find its faults; exit code 1 if there are errors.

    With --fix, what is safe to repair is written to new index files, and lines with errors are
    left out and listed; exit code 1 if there are any.
    """
    from crnnkit.dataset.doctor import examine
    from crnnkit.dataset.repair import repair
    from crnnkit.preprocessing.tensors import LineConfig
    from crnnkit.vocab import Vocab

    known = Vocab.load(vocab_path) if vocab_path else None
    splits = {str(path): path for path in index}
    diagnosis = examine(splits, known, LineConfig(), progress=sys.stderr.isatty())
    if any(diagnosis.lines.values()):
        print(diagnosis.profile.format(rare_below))
    print(diagnosis.format(len(diagnosis.faults)) if show_all else diagnosis.format())
    if fix is not None:
        _print_repair(repair(splits, diagnosis, fix), fix)
    if diagnosis.num_errors:
        raise typer.Exit(1)


def _print_repair(done: "Repair", out: Path) -> None:
    from crnnkit.dataset.faults import count_of

    for path, number in done.num_lines.items():
        print(f"Wrote {path}: {count_of(number, 'line')}")
    print(f"Repaired: {_counts(done.changes)} ({out / 'changes.txt'})")
    left_out = count_of(done.num_left_out, "line")
    print(f"Left out: {left_out}, {_counts(done.left_out)} ({out / 'left_out.txt'})")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items()) or "nothing"


def split(
    index: Annotated[Path, typer.Argument(help="Index file to deal out.")],
    output_dir: Annotated[Path, typer.Option(help="New folder for train.txt, val.txt, test.txt.")],
    val_fraction: Annotated[float, typer.Option(help="Share of val.txt; 0: none.")] = 0.1,
    test_fraction: Annotated[float, typer.Option(help="Share of test.txt; 0: none.")] = 0.1,
    group_by: Annotated[
        str | None,
        typer.Option(help="Regex on the picture's path: its group stays in one part."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal parts.")] = 1,
) -> None:
    """Deal an index out to train, val and test; equal texts, or groups, stay together."""
    from crnnkit.dataset.faults import count_of
    from crnnkit.dataset.index import (
        groups_by_path,
        new_folder,
        read_index,
        split_lines,
        write_index,
    )
    from crnnkit.dataset.profile import profile_lines

    lines = read_index(index)
    group_of = (
        groups_by_path(lines, group_by, index.parent.resolve())
        if group_by is not None
        else lambda line: line.text
    )
    shares = {"train": 1 - val_fraction - test_fraction, "val": val_fraction, "test": test_fraction}
    asked = {name: share for name, share in shares.items() if share}
    remedy = "Give lines of more groups, or leave parts out: --val-fraction 0, --test-fraction 0."
    parts = split_lines(lines, asked, seed, group_of, remedy)
    with new_folder(output_dir) as partial:
        for name, members in parts.items():
            write_index(partial / f"{name}.txt", members)
    for name, counts in profile_lines(parts).splits.items():
        groups = {group_of(line) for line in parts[name]}
        print(
            f"Wrote {output_dir / name}.txt: {count_of(counts.num_lines, 'line')}, "
            f"{count_of(len(groups), 'group')}, {count_of(counts.num_texts, 'text')}; "
            f"{count_of(counts.num_seen, 'line')} with a text that train has"
        )


def convert(
    source: Annotated[
        Path, typer.Argument(help="What to convert: an export's folder or file, or an index file.")
    ],
    out: Annotated[
        Path,
        typer.Argument(
            help="New folder; or a name ending in .lmdb or .parquet; or an index file, .txt, to "
            "which the lines are added."
        ),
    ],
) -> None:
    """Convert a labelled data set of another tool, or an index file; or add it to an index file.

    Read are folders with .gt.txt files, EasyOCR's labels.csv, PPOCRLabel's Label.txt and
    rec_gt.txt, Label Studio's JSON, LMDB, Parquet and index files. Exit code 1 if a sample was
    left out.
    """
    from crnnkit.dataset.convert import convert as run_conversion
    from crnnkit.dataset.faults import MAX_SHOWN, count_of

    done = run_conversion(source, out)
    known = f", {done.num_known} more were there already" if done.num_known else ""
    print(f"Wrote {done.written}: {count_of(done.num_lines, 'line')}{known}")
    if done.left_out:
        number = count_of(len(done.left_out), "sample")
        print(f"Left out: {number}, named in {done.left_out_list}")
        print("\n".join(map(str, done.left_out[:MAX_SHOWN])))
        raise typer.Exit(1)


def vocab(
    index: Annotated[
        list[Path] | None, typer.Argument(help="Index files whose texts are counted.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write their characters here.")] = None,
    merge: Annotated[
        list[Path] | None,
        typer.Option(help="Vocabulary that --output begins with; repeatable."),
    ] = None,
    vocab_path: Annotated[
        Path | None, typer.Option(help="Show how much of the texts this vocabulary covers.")
    ] = None,
    diff: Annotated[
        Path | None, typer.Option(help="Show what this vocabulary has and --vocab-path has not.")
    ] = None,
) -> None:
    """Build a vocabulary from index files and vocabularies, show its coverage, or compare two."""
    from crnnkit.dataset.index import read_index
    from crnnkit.vocab import Vocab

    if output is None and vocab_path is None:
        raise ConfigError("vocab: give --output to build, --vocab-path to check, or both.")
    if vocab_path is None and diff is not None:
        raise ConfigError("vocab: --diff compares with --vocab-path: give that, too.")
    if not index and not (output and merge) and diff is None:
        raise ConfigError("vocab: nothing to count. Give index files, --merge or --diff.")
    texts = [line.text for path in index or [] for line in read_index(path)]
    if output is not None:
        parts = [Vocab.load(path) for path in merge or []]
        built = Vocab.merged([*parts, Vocab.from_texts(texts)] if texts else parts)
        built.save(output)
        print(f"Wrote {output}: {len(built.charset)} characters from {len(texts)} lines")
    if vocab_path is not None and texts:
        coverage = Vocab.load(vocab_path).coverage(texts)
        missing = " ".join(f"{c!r}×{n}" for c, n in coverage.missing.items()) or "none"
        print(
            f"{vocab_path}: covers {coverage.fraction:.2%} of the characters; missing: {missing}; "
            f"{coverage.num_lines_missing} of {coverage.num_lines} lines cannot be written"
        )
    if vocab_path is not None and diff is not None:
        _print_difference(Vocab.load(vocab_path), Vocab.load(diff), (vocab_path, diff))


def _print_difference(one: "Vocab", other: "Vocab", names: tuple[Path, Path]) -> None:
    for name, mine, theirs in ((names[0], one, other), (names[1], other, one)):
        alone = [c for c in mine.charset if c not in theirs]
        print(
            f"{name}: {len(mine.charset)} characters, {len(alone)} of them alone: {''.join(alone)}"
        )
    shared = [[c for c in v.charset if c in one and c in other] for v in (one, other)]
    order = "in the same order" if shared[0] == shared[1] else "in another order"
    print(f"Shared: {len(shared[0])}, {order}")


def synth(
    out: Annotated[Path, typer.Option(help="Folder to make; it must not hold anything yet.")],
    num_lines: Annotated[int, typer.Option("-n", "--n", "--num-lines", help="Lines to render.")],
    lexicon: Annotated[
        Path | None, typer.Option(help="Words, one per line, each with a count if you like.")
    ] = None,
    pattern: Annotated[
        list[str] | None, typer.Option(help="e.g. 'GL-{year}-{n:03}-{A|B|C}'; repeatable.")
    ] = None,
    vocab_path: Annotated[
        Path | None, typer.Option(help="Vocabulary whose characters occur at random, too.")
    ] = None,
    fonts: Annotated[
        list[Path] | None, typer.Option(help="Font file or folder; default: the system's.")
    ] = None,
    look: Annotated[
        list[str] | None, typer.Option(help="Only these looks; repeatable; default: all.")
    ] = None,
    like: Annotated[
        Path | None, typer.Option(help="Folder with some of your own crops to resemble.")
    ] = None,
    val_fraction: Annotated[float, typer.Option(help="Share of val.txt.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal data sets.")] = 0,
) -> None:
    """Render a labelled data set from a word list, number schemes and fonts."""
    from crnnkit.dataset.synthesize import SynthConfig, synthesize

    report = synthesize(
        SynthConfig(
            out=out,
            num_lines=num_lines,
            lexicon=lexicon,
            patterns=tuple(pattern or ()),
            vocab=vocab_path,
            fonts=tuple(fonts or ()),
            looks=tuple(look or ()),
            like=like,
            val_fraction=val_fraction,
            seed=seed,
        )
    )
    print(
        f"Wrote {report.out}: {report.num_train} lines in train.txt, {report.num_val} in val.txt, "
        f"drawn with {report.num_faces} faces"
    )
