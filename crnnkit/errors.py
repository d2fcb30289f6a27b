"""What can go wrong, by stage: every message says what, where, which value and what to do."""


class CrnnKitError(Exception):
    """Base of all errors that a user of crnnkit can cause and mend."""


class WriteError(CrnnKitError):
    """A file or folder cannot be written."""


class ConfigError(CrnnKitError):
    """A setting has an unknown name or a value outside its range."""


class ImageError(CrnnKitError):
    """A picture is missing, too large or unreadable."""


class VocabError(CrnnKitError):
    """A vocabulary file is faulty, or a text needs characters that it lacks."""


class DatasetError(CrnnKitError):
    """An index file or the lines it lists are faulty."""


class CheckpointError(CrnnKitError):
    """A checkpoint or exported model is of another format, damaged, or does not fit."""


class PipelineError(CrnnKitError):
    """A step of the workbook cannot start, or failed."""
