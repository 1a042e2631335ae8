"""The blocks of products in C: so many rows and vectors of a result, each vector in a variable of its own.

An array of accumulators would be shorter, but compilers keep it in memory.
"""

from __future__ import annotations

from nncodegen.emit.lines import Lines

BLOCKS = ((8, 2), (8, 1), (4, 2), (4, 1), (2, 2), (2, 1))
"""Rows and vectors of a contraction. The blocks of 8 rows are for targets with 32 vector registers."""

VECTORS = (4, 2, 1)
"""Vectors of a row times a matrix."""

CHAINS = 8
"""Sums that must be under way at once, since each waits for its last addition: small blocks take several terms each."""

PHASES = "stuv"
"""The names of the sums of these terms."""

GROUP = ((4, 4), (2, 4), (8, 1))
"""Rows and columns of a product of each of a group of models. The largest block is for targets with 32 vector
registers, the second for others."""

ACROSS = (4, 2)
"""Rows of a sum across lanes, of four columns each. The larger block is for targets with 32 vector registers."""


def emit_blocks() -> str:
    """A function for each block."""
    lines = Lines()
    for rows, vectors in BLOCKS:
        _emit_block(rows, vectors, lines)
    for vectors in VECTORS:
        _emit_times(vectors, lines)
    for rows in ACROSS:
        _emit_across(rows, 4, lines)
    return str(lines)


def emit_group_blocks() -> str:
    """A function for each block of a product of each of a group of models."""
    lines = Lines()
    for rows, columns in GROUP:
        _emit_group(rows, columns, lines)
    return str(lines)


def _emit_block(rows: int, vectors: int, lines: Lines) -> None:
    lines.add(
        f"/* --- block_{rows}x{vectors} --- {rows} rows and {vectors} vector{'s' * (vectors > 1)} of a contraction.\n"
        f"   Where fewer rows are left, the last is computed again, and not stored again. */"
    )
    with lines.block(
        f"static inline void block_{rows}x{vectors}(size_t left, size_t inner, const real *restrict a, size_t a_row,\n"
        f"    size_t a_inner, const real *restrict b, size_t b_inner, real *restrict out, size_t out_row,\n"
        f"    const real *restrict factor, int more, real so_many)"
    ):
        lines.add("const size_t last = left - 1;", "const real *const a0 = a;")
        lines.add(*(f"const real *const a{r} = a + (last < {r} ? last : {r})*a_row;" for r in range(1, rows)))
        _emit_sums(rows, vectors, "*a_inner", lines)
        for r in range(rows):
            if r:
                lines.add(f"if (last < {r})", "    return;")
            for v in range(vectors):
                position = f"{r}*out_row{f' + {v}*LANES' if v else ''}"
                lines.add(f"keep({_total(rows, vectors, r, v)}, out, {position}, factor, more, so_many);")
    lines.add("")


def _emit_times(vectors: int, lines: Lines) -> None:
    lines.add(f"/* --- row_times_{vectors} --- {vectors} vector{'s' * (vectors > 1)} of a row times a matrix. */")
    with lines.block(
        f"static inline void row_times_{vectors}(size_t inner, const real *restrict a0, const real *restrict b,\n"
        f"    size_t b_inner, real *restrict out)"
    ):
        _emit_sums(1, vectors, "", lines)
        for v in range(vectors):
            place = f"(out + {v}*LANES)" if v else "out"
            lines.add(f"*(unaligned *) {place} = {_total(1, vectors, 0, v)};")
    lines.add("")


def _phases(rows: int, vectors: int) -> range:
    """The numbers of the terms that are taken at once."""
    return range(min(max(1, CHAINS // (rows * vectors)), len(PHASES)))


def _sum(row: int, vector: int, phase: int) -> str:
    return f"{PHASES[phase]}{row}{vector}"


def _total(rows: int, vectors: int, row: int, vector: int) -> str:
    return " + ".join(_sum(row, vector, phase) for phase in _phases(rows, vectors))


def _emit_sums(rows: int, vectors: int, step: str, lines: Lines) -> None:
    """The sums of a block, and the loop that adds the terms to them; (step) from one of a row to the next."""
    phases = _phases(rows, vectors)
    for phase in phases:
        for r in range(rows):
            lines.add(f"vector {', '.join(f'{_sum(r, v, phase)} = {{0}}' for v in range(vectors))};")
    if len(phases) == 1:
        with lines.block("for (size_t k = 0; k < inner; k++)"):
            _emit_terms(rows, vectors, 0, "k", step, lines)
        return
    lines.add("size_t k = 0;", f"const size_t whole = inner/{len(phases)}*{len(phases)};")
    with lines.block(f"for (; k < whole; k += {len(phases)})"):
        for phase in phases:
            with lines.block(""):
                _emit_terms(rows, vectors, phase, f"(k + {phase})", step, lines)
    with lines.block("for (; k < inner; k++)"):
        _emit_terms(rows, vectors, 0, "k", step, lines)


def _emit_terms(rows: int, vectors: int, phase: int, k: str, step: str, lines: Lines) -> None:
    """The terms of one value of the inner index."""
    loads = ", ".join(f"b{v} = load(b + {k}*b_inner{f' + {v}*LANES' if v else ''})" for v in range(vectors))
    lines.add(f"const vector {loads};", f"const size_t i = {k}{step};")
    lines.add(*(f"{_sum(r, v, phase)} += a{r}[i]*b{v};" for r in range(rows) for v in range(vectors)))


def _emit_pointers(name: str, count: int, extent: str, stride: str, lines: Lines) -> None:
    """Pointers to so many rows or columns: where fewer are left (extent), to the last again."""
    lines.add(f"const real *const {name}0 = {name};")
    lines.add(
        *(
            f"const real *const {name}{k} = {name} + ({extent} > {k} ? {k} : {extent} - 1)*{stride};"
            for k in range(1, count)
        )
    )


def _emit_across(rows: int, columns: int, lines: Lines) -> None:
    lines.add(
        f"/* --- across_{rows}x{columns} --- {rows} rows and {columns} columns of a sum across lanes.\n"
        f"   Where fewer are left, the last is computed again, and not stored again. */"
    )
    with lines.block(
        f"static inline void across_{rows}x{columns}(size_t rows, size_t columns, const real *restrict d,\n"
        f"    const real *restrict x, size_t padded, size_t weight, size_t width, real *restrict partials,\n"
        f"    double *restrict sums, int alone)"
    ):
        _emit_pointers("d", rows, "rows", "TILE", lines)
        _emit_pointers("x", columns, "columns", "TILE", lines)
        for r in range(rows):
            lines.add(f"vector {', '.join(f's{r}{c} = {{0}}' for c in range(columns))};")
        with lines.block("for (size_t n = 0; n < padded; n += LANES)"):
            lines.add(f"const vector {', '.join(f'v{c} = load(x{c} + n)' for c in range(columns))};")
            for r in range(rows):
                lines.add(f"const vector u{r} = load(d{r} + n);", *(f"s{r}{c} += u{r}*v{c};" for c in range(columns)))
        for r in range(rows):
            if r:
                lines.add(f"if (rows < {r + 1})", "    return;")
            sums = ", ".join(f"s{r}{c}" for c in range(columns))
            position = f"weight{f' + {r}*width' if r else ''}"
            lines.add(f"add_four((const vector [4]) {{{sums}}}, columns, {position}, partials, sums, alone);")
    lines.add("")


def _emit_group(rows: int, columns: int, lines: Lines) -> None:
    several = columns > 1  # else there is no stride from one column to the next
    lines.add(
        f"/* --- group_{rows}x{columns} --- "
        f"{rows} rows and {columns} column{'s' * several} of a product of each model.\n"
        f"   Where fewer are left, the last is computed again, and not stored again. */"
    )
    with lines.block(
        f"INLINE void group_{rows}x{columns}(size_t rows, {'size_t columns, ' * several}size_t inner,\n"
        f"    const real *a, size_t a_row, size_t a_inner, const real *b, size_t b_inner,"
        f"{' size_t b_column,' * several}\n"
        f"    real *out, size_t out_row, {'size_t out_column, ' * several}const real *factor, int more)"
    ):
        _emit_pointers("a", rows, "rows", "a_row", lines)
        _emit_pointers("b", columns, "columns", "b_column", lines)
        for r in range(rows):
            lines.add(f"vector {', '.join(f's{r}{c} = {{0}}' for c in range(columns))};")
        with lines.block("for (size_t k = 0; k < inner; k++)"):
            lines.add(*(f"const vector v{c} = load(b{c} + k*b_inner);" for c in range(columns)))
            for r in range(rows):
                lines.add(f"const vector u{r} = load(a{r} + k*a_inner);")
                lines.add(*(f"s{r}{c} += u{r}*v{c};" for c in range(columns)))
        for r in range(rows):
            if r:
                lines.add(f"if (rows < {r + 1})", "    return;")
            for c in range(columns):
                condition = [f"if (columns > {c})"] if c else []
                call = f"keep(s{r}{c}, out, {r}*out_row{f' + {c}*out_column' if c else ''}, factor, more, 1);"
                lines.add(*condition, f"    {call}" if c else call)
    lines.add("")
