"""The build files of the C: a Makefile and a CMakeLists.txt."""

from __future__ import annotations

from nncodegen.formats.c.model import PlainModel
from nncodegen.formats.export.first_line import EXPORTED


def makefile(model: PlainModel) -> str:
    """Return a Makefile: ``make`` compiles the model, ``make test`` runs its test, ``make size`` prints its size.

    For another machine: ``make size CC=arm-none-eabi-gcc SIZE=arm-none-eabi-size CFLAGS="-O2 -mcpu=cortex-m4"``.
    """
    name, libm = model.name, " -lm" if model.request.options.libm else ""
    return f"""\
# {EXPORTED}
SIZE ?= size
CFLAGS ?= -O2
CFLAGS += -std=c99 -Wall -Wextra
{name}.o: {name}.c {name}.h
\t$(CC) $(CFLAGS) -c {name}.c
test: {name}.o
\t$(CC) $(CFLAGS) {name}_test.c {name}.o -o {name}_test{libm} && ./{name}_test
size: {name}.o
\t$(SIZE) {name}.o
.PHONY: test size
"""


def cmake_lists(model: PlainModel) -> str:
    """Return a CMakeLists.txt with a library of the name of the model, and its test."""
    name = model.name
    libm = f"\nif(UNIX)\n    target_link_libraries({name} PUBLIC m)\nendif()" if model.request.options.libm else ""
    return f"""\
# {EXPORTED}
cmake_minimum_required(VERSION 3.10)
project({name} C)
set(CMAKE_C_STANDARD 99)

add_library({name} STATIC {name}.c)
target_include_directories({name} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}}){libm}

enable_testing()
add_executable({name}_test {name}_test.c)
target_link_libraries({name}_test PRIVATE {name})
add_test(NAME {name}_test COMMAND {name}_test)
"""
