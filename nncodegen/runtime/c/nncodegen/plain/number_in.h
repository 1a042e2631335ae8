/* Returns the index that a value represents, or count if it is not a whole number from 0 to count - 1. */
static size_t number_in(real value, size_t count)
{
    const size_t number = value >= 0 && value < (real) count ? (size_t) value : count;
    return (real) number == value ? number : count;
}
