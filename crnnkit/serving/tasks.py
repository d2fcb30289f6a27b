"""What a request asks to be read, plain enough to be handed to another process."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from crnnkit.errors import ImageError
from crnnkit.model.constraints import Constraint, constraint_of
from crnnkit.preprocessing.images import ImageSource, read_image
from crnnkit.preprocessing.tensors import UInt8Image
from crnnkit.serving.readings import PageLine
from crnnkit.vocab import Vocab

Pages = list[list[PageLine]]
"""The lines of each picture in reading order."""


class PictureError(ImageError):
    """One of several pictures cannot be read."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index
        """Of the picture, from 0."""

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        """Another process raises the same."""
        return PictureError, (str(self), self.index)


class PageReader(Protocol):
    """What the service needs of a recogniser."""

    @property
    def name(self) -> str:
        """The model's name, for people."""

    @property
    def vocab(self) -> Vocab:
        """The characters it knows."""

    def read_pages(
        self, sources: Iterable[ImageSource], constraint: Constraint | None = None
    ) -> Pages:
        """The lines of each picture in reading order."""


@dataclass(frozen=True)
class Task:
    """Pictures as they came, and what may come out."""

    pictures: tuple[bytes, ...]
    pattern: str | None = None
    lexicon: str | None = None
    """One text a line."""
    charset: str | None = None
    check: str | None = None

    @property
    def num_bytes(self) -> int:
        """Of all pictures, as they came."""
        return sum(map(len, self.pictures))

    @property
    def is_free(self) -> bool:
        """Whether anything may come out."""
        return self == Task(self.pictures)

    def done_by(self, reader: PageReader) -> Pages:
        """What the pictures say.

        Raises:
            PictureError: if one of them cannot be read.
            ConfigError: if what may come out is told wrongly.
            VocabError: if the reader's vocabulary lacks characters of it.
        """
        texts = None if self.lexicon is None else self.lexicon.splitlines()
        constraint = constraint_of(reader.vocab, self.pattern, texts, self.charset, self.check)
        return reader.read_pages(self._decoded(), constraint)

    def _decoded(self) -> Iterator[UInt8Image]:
        """The pictures one after the other, so that only one of them is held decoded."""
        for index, picture in enumerate(self.pictures):
            try:
                yield read_image(picture)
            except ImageError as error:
                raise PictureError(str(error), index) from None
