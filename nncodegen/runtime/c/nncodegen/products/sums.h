/* Sums of products that stay in registers: one for each of some rows and columns.

   Each sum is a separate variable, because compilers would keep an array of vectors in memory: in the set of sums s,
   s01 is that of the first row and the second column. How many there are, and how a value of a row or a column is
   loaded, are arguments of the macros that define and change them all. The numbers of rows (1, 2, 4, 8) and of columns
   (1, 2, 3, 4) are digits, or for rows a macro of one.

   Needs vectors.h. Gives EACH_ROW, EACH_COLUMN and their like, ZERO_SUMS, ADD_PRODUCTS, ADD_VECTORS and LISTED. */

#ifndef NNCODEGEN_SUMS_H
#define NNCODEGEN_SUMS_H

#include "nncodegen/base/vectors.h"

/* DO(0, ...) DO(1, ...) and so on, for each row or each column; EACH_NEXT_ROW and EACH_NEXT_COLUMN leave out the
   first. */
#define EACH_ROW(rows, DO, ...) DO(0, __VA_ARGS__) EACH_NEXT_ROW(rows, DO, __VA_ARGS__)
#define EACH_NEXT_ROW(rows, DO, ...) NEXT_ROWS_OF(rows, DO, __VA_ARGS__)
#define NEXT_ROWS_OF(rows, DO, ...) NEXT_ROWS_##rows(DO, __VA_ARGS__)
#define NEXT_ROWS_1(DO, ...)
#define NEXT_ROWS_2(DO, ...) DO(1, __VA_ARGS__)
#define NEXT_ROWS_4(DO, ...) NEXT_ROWS_2(DO, __VA_ARGS__) DO(2, __VA_ARGS__) DO(3, __VA_ARGS__)
#define NEXT_ROWS_8(DO, ...) \
    NEXT_ROWS_4(DO, __VA_ARGS__) DO(4, __VA_ARGS__) DO(5, __VA_ARGS__) DO(6, __VA_ARGS__) DO(7, __VA_ARGS__)
#define EACH_COLUMN(columns, DO, ...) DO(0, __VA_ARGS__) EACH_NEXT_COLUMN(columns, DO, __VA_ARGS__)
#define EACH_NEXT_COLUMN(columns, DO, ...) NEXT_COLUMNS_##columns(DO, __VA_ARGS__)
#define NEXT_COLUMNS_1(DO, ...)
#define NEXT_COLUMNS_2(DO, ...) DO(1, __VA_ARGS__)
#define NEXT_COLUMNS_3(DO, ...) NEXT_COLUMNS_2(DO, __VA_ARGS__) DO(2, __VA_ARGS__)
#define NEXT_COLUMNS_4(DO, ...) NEXT_COLUMNS_3(DO, __VA_ARGS__) DO(3, __VA_ARGS__)

/* Defines a set of sums, which are 0: vector s00 = {0}; and so on. */
#define ZERO_SUMS(rows, columns, s) EACH_ROW(rows, ZERO_ROW, columns, s)
#define ZERO_ROW(r, columns, s) EACH_COLUMN(columns, ZERO_SUM, s##r)
#define ZERO_SUM(c, s) vector s##c = {0};

/* Adds to each sum the product of a value of its row, ROW(r, ...), and one of its column, COLUMN(c, ...), a vector. A
   number of a row is read for each product, of which it may be an operand in memory; a vector (ADD_VECTORS) once. */
#define ADD_PRODUCTS(rows, columns, s, ROW, COLUMN, ...) \
    { \
        EACH_COLUMN(columns, LOAD_COLUMN, COLUMN, __VA_ARGS__) \
        EACH_ROW(rows, ADD_TO_ROW, columns, s, ROW, __VA_ARGS__) \
    }
#define ADD_VECTORS(rows, columns, s, ROW, COLUMN, ...) \
    { \
        EACH_COLUMN(columns, LOAD_COLUMN, COLUMN, __VA_ARGS__) \
        EACH_ROW(rows, LOAD_AND_ADD_TO_ROW, columns, s, ROW, __VA_ARGS__) \
    }
#define LOAD_COLUMN(c, COLUMN, ...) const vector of_column_##c = COLUMN(c, __VA_ARGS__);
#define ADD_TO_ROW(r, columns, s, ROW, ...) EACH_COLUMN(columns, ADD_TO_SUM, s##r, ROW(r, __VA_ARGS__))
#define LOAD_AND_ADD_TO_ROW(r, columns, s, ROW, ...) \
    const vector of_row_##r = ROW(r, __VA_ARGS__); \
    EACH_COLUMN(columns, ADD_TO_SUM, s##r, of_row_##r)
#define ADD_TO_SUM(c, s, value) ADD_PRODUCT(s##c, value, of_column_##c);

/* The sums of a row, as a list: s00, s01, and so on. */
#define LISTED(r, columns, s) EACH_COLUMN(columns, LIST_SUM, s##r)
#define LIST_SUM(c, s) s##c,

#endif
