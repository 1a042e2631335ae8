/* The functions that JavaScript calls to predict.

   JavaScript stores data one array after the other, after the WebAssembly's own memory, and passes the shape of
   each: the number of rows and the length of the longest, or 0 and the length of one array with all numbers. Results
   are stored after the data. If a function returns a negative number, its absolute value is the length of an error
   message.

   Needs real, MODEL, its name as a text, INPUTS, OUTPUTS, PARAMETERS, PREDICT_WORK and PREDICT, the model's function. */

/* A function that is called once for many samples or never: it is made as small as possible. */
#define SMALL __attribute__((noinline, minsize))

#define TEXT_OF(number) #number
#define NUMBER(number) TEXT_OF(number)

enum { LONGEST_TEXT = 4096, PAGE = 65536 };

extern real __heap_base[];

/* Returns whether there is memory for some numbers and a text; extends the memory if necessary. */
SMALL static int reserve(const real *from, double numbers)
{
    const double end = (double) (size_t) from + numbers*sizeof(real) + LONGEST_TEXT;
    const double missing = end/PAGE - (double) __builtin_wasm_memory_size(0);
    return missing <= 0 || (missing < PAGE && __builtin_wasm_memory_grow(0, (size_t) missing + 1) != (size_t) -1);
}

/* Returns the address for some numbers; -1, which is no address, if there is not enough memory. */
SMALL double place_for(double numbers)
{
    return reserve(__heap_base, numbers) ? (double) (size_t) __heap_base : -1;
}

/* Writes a text, and returns its end. */
SMALL static char *write_text(char *end, const char *text)
{
    while (*text)
        *end++ = *text++;
    return end;
}

/* Writes an error message. */
SMALL static int wrong(real *result, const char *text)
{
    return (int) ((char *) result - write_text((char *) result, text));
}

/* The shape of data. */
struct shape {
    size_t rows, length;
};

/* Returns the number of values if all rows are as long as the longest. */
INLINE size_t numbers_in(struct shape shape)
{
    return shape.rows ? shape.rows*shape.length : shape.length;
}

/* Returns the number of rows; -1 if they do not have this width. */
INLINE double rows_in(struct shape shape, size_t width)
{
    if (shape.rows || width == 0)
        return shape.length == width ? (double) (shape.rows ? shape.rows : 1) : -1;
    return shape.length%width == 0 ? (double) (shape.length/width) : -1;
}

static const char no_memory[] = MODEL ": there is not so much memory", wrong_parameters[] =
    MODEL " needs " NUMBER(PARAMETERS) " parameters, where it is loaded or in this call",
    wrong_inputs[] = MODEL ": inputs are rows of " NUMBER(INPUTS) " numbers";

/* Computes the outputs for rows of inputs, which are stored after the parameters. */
SMALL int predict_rows(real *result, size_t vectors, size_t parameters, size_t rows, size_t length)
{
    const struct shape inputs = {rows, length};
    const double samples = rows_in(inputs, INPUTS);
    if (vectors || parameters != PARAMETERS)
        return wrong(result, wrong_parameters);
    if (samples < 0 || result != __heap_base + PARAMETERS + numbers_in(inputs))
        return wrong(result, wrong_inputs);
    if (!reserve(result, samples*OUTPUTS + PREDICT_WORK))
        return wrong(result, no_memory);
    const size_t outputs = (size_t) samples*OUTPUTS;
    PREDICT(__heap_base, (size_t) samples, __heap_base + PARAMETERS, result, result + outputs);
    return (int) outputs;
}
