/* A value as a number from 0 to count - 1, or count where it is none of these. */
static size_t number_in(real value, size_t count)
{
    const size_t number = value >= 0 && value < (real) count ? (size_t) value : count;
    return (real) number == value ? number : count;
}
