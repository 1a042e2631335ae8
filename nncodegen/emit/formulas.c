/* A row of each model, side by side. */
INLINE void side_by_side(const real *const *rows, size_t width, real *to)
{
    for (size_t m = 0; m < MODELS; m++)
        for (size_t c = 0; c < width; c++)
            to[c*MODELS + m] = rows[m][c];
}

