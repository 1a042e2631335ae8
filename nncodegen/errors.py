"""The errors that nncodegen raises: one class for each kind of cause."""


class NncodegenError(Exception):
    """The base class of all errors of nncodegen."""


class ModelError(NncodegenError, ValueError):
    """The error for a wrong description of a model: the message names the symbol or function, and what to do."""


class UserFileError(ModelError):
    """The error of a user's file. The message says where and why; ``trace`` is the traceback in the user's code."""

    def __init__(self, message: str, trace: str) -> None:
        super().__init__(message)
        self.trace = trace


class ProgramError(NncodegenError):
    """The error for a Program that is not well formed, because a stage of the compiler has a defect."""


class BuildError(NncodegenError, RuntimeError):
    """The error for C sources that could not be written, compiled or imported."""


class CompilerNotFoundError(BuildError):
    """The error for a missing C compiler: the message says where one was looked for, and how to get one."""


class MissingDependencyError(NncodegenError, ImportError):
    """The error for a package that is not installed: the message says what needs it, and the command to install it."""


class CheckError(NncodegenError):
    """The error for a compiled module whose gradient is wrong."""


class CertificateError(NncodegenError):
    """The error for a module whose results miss their certificate's bounds, or whose certificate's rules are wrong."""


class TableError(NncodegenError, ValueError):
    """The error for a table that cannot be read or understood: it names the file, the line, the column and a remedy."""


class BenchError(NncodegenError):
    """The error for a benchmark that cannot be run, or whose peers disagree."""
