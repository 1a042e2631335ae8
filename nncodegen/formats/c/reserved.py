"""Names that a function in C must not have; those of files and packages are in ``naming.py``."""

from __future__ import annotations

from nncodegen.compiler.emit.dialects import FUNCTIONS
from nncodegen.errors import ModelError
from nncodegen.formats.c.kernels import HELPERS

WORDS = frozenset(
    """
    alignas alignof and and_eq asm atomic auto bitand bitor bool break case catch char class compl complex concept const
    consteval constexpr constinit continue decltype default delete do double else enum explicit export extern false
    float for friend goto if imaginary inline int long mutable namespace new noexcept noreturn not not_eq nullptr
    operator or or_eq private protected public register reinterpret_cast requires restrict return short signed sizeof
    static static_assert static_cast struct switch template this thread_local throw true try typedef typeid typename
    typeof typeof_unqual union unsigned using virtual void volatile while xor xor_eq
    double_t float_t int8_t int16_t int32_t int64_t intmax_t intptr_t max_align_t nullptr_t ptrdiff_t size_t uint8_t
    uint16_t uint32_t uint64_t uintmax_t uintptr_t wchar_t
    """.split()
)
"""Keywords of C and of C++ (which may include the header), and types of their libraries."""

_OF_REALS = """
    acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs fdim floor fma fmax
    fmin fmod frexp hypot ilogb ldexp lgamma llrint llround log log10 log1p log2 logb lrint lround modf nan nearbyint
    nextafter nexttoward pow remainder remquo rint round scalbln scalbn sin sincos sinh sqrt tan tanh tgamma trunc
    cabs cacos cacosh carg casin casinh catan catanh ccos ccosh cexp cimag clog conj cpow cproj creal csin csinh csqrt
    ctan ctanh finite gamma j0 j1 jn y0 y1 yn
    """.split()
"""Functions of mathematics; each name also exists with an f and an l at its end."""

_OF_OTHERS = """
    fpclassify isfinite isgreater isgreaterequal isinf isless islessequal islessgreater isnan isnormal isunordered
    signbit
    isalnum isalpha isblank iscntrl isdigit isgraph islower isprint ispunct isspace isupper isxdigit tolower toupper
    fegetround fesetround localeconv longjmp offsetof raise setjmp setlocale signal
    clearerr fclose feof ferror fflush fgetc fgetpos fgets fopen fprintf fputc fputs fread freopen fscanf fseek fsetpos
    ftell fwrite getc getchar gets perror printf putc putchar puts remove rename rewind scanf setbuf setvbuf snprintf
    sprintf sscanf tmpfile tmpnam ungetc vfprintf vfscanf vprintf vscanf vsnprintf vsprintf vsscanf
    abort abs aligned_alloc alloca atexit atof atoi atol atoll bsearch calloc div exit free getenv labs ldiv llabs lldiv
    malloc mblen mbstowcs mbtowc qsort quick_exit rand realloc srand strtod strtof strtol strtold strtoll strtoul
    strtoull system wcstombs wctomb
    memchr memcmp memcpy memmove memset strcat strchr strcmp strcoll strcpy strcspn strdup strerror strlen strncat
    strncmp strncpy strpbrk strrchr strspn strstr strtok strxfrm
    asctime clock ctime difftime gmtime localtime mktime strftime time
    accept access alarm bcmp bcopy bind bzero chdir close connect dup execve fork index kill link listen mmap nice open
    pause pipe poll read recv rindex select send sleep socket stat sync unlink wait write
    """.split()
"""Other functions and macros of C libraries, and the calls of POSIX with names of one word."""

TAKEN = frozenset(
    {*WORDS, *(f"{name}{end}" for name in _OF_REALS for end in ("", "f", "l")), *_OF_OTHERS, *FUNCTIONS, *HELPERS}
    | {"main", "real", "environ"}
)
"""Names that a function in C must not have: keywords, functions of C libraries, and functions of its source."""


def check_function(name: str) -> None:
    """Raise ModelError if a function cannot have exactly this name in C."""
    if name in TAKEN:
        raise ModelError(
            f"{name} cannot be the name of a function in C: it is one already, or a word of the language; give "
            f"another name (--name, name=)"
        )
