"""The errors that nncodegen raises: one class for each kind of cause."""


class NncodegenError(Exception):
    """The base class of all errors of nncodegen."""


class ModelError(NncodegenError, ValueError):
    """The description of a model is wrong: the message names the symbol or function, and what to do."""


class ProgramError(NncodegenError):
    """A Program is not well formed, because a stage of the compiler has a defect."""


class BuildError(NncodegenError, RuntimeError):
    """The C sources could not be written, compiled or imported."""


class CompilerNotFoundError(BuildError):
    """There is no C compiler: the message says where it was looked for, and how to get one."""


class CertificateError(NncodegenError):
    """The numbers of a module are further from exact ones than its certificate allows, or its rules are wrong."""


class TableError(NncodegenError, ValueError):
    """A table cannot be read or understood: the message names the file, the line and the column, and what to do."""
