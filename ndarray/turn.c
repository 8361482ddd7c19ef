/* Owns turning matrices around: to[j][i] = from[i][j], in squares that are kept in registers. */
#include <string.h>

#include "ndarray/array.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define WIDE __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define WIDE
#endif

/* A vector's rows of the square, taken from two others alternately. */
typedef uint32_t eight __attribute__((vector_size(32)));
typedef uint64_t four __attribute__((vector_size(32)));
#define MIX8(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)

/* The 8 by 8 words at from; rows are steps bytes apart. */
static inline __attribute__((always_inline)) void turn_words(const char *from, ptrdiff_t in,
                                                             char *to, ptrdiff_t out) {
  eight r[8], s[8];
  for (int i = 0; i < 8; i++) memcpy(&r[i], from + i * in, sizeof r[i]);
  for (int i = 0; i < 8; i += 2) {
    s[i] = MIX8(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    s[i + 1] = MIX8(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; j++) {
      r[i + 2 * j] = MIX8(s[i + j], s[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      r[i + 2 * j + 1] = MIX8(s[i + j], s[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int i = 0; i < 4; i++) {
    s[i] = MIX8(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    s[i + 4] = MIX8(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
  for (int i = 0; i < 8; i++) memcpy(to + i * out, &s[i], sizeof s[i]);
}

/* The 4 by 4 double words at from. */
static inline __attribute__((always_inline)) void turn_doubles(const char *from, ptrdiff_t in,
                                                               char *to, ptrdiff_t out) {
  four r[4], s[4];
  for (int i = 0; i < 4; i++) memcpy(&r[i], from + i * in, sizeof r[i]);
  for (int i = 0; i < 4; i += 2) {
    s[i] = MIX8(r[i], r[i + 1], 0, 4, 2, 6);
    s[i + 1] = MIX8(r[i], r[i + 1], 1, 5, 3, 7);
  }
  for (int i = 0; i < 2; i++) {
    r[i] = MIX8(s[i], s[i + 2], 0, 1, 4, 5);
    r[i + 2] = MIX8(s[i], s[i + 2], 2, 3, 6, 7);
  }
  for (int i = 0; i < 4; i++) memcpy(to + i * out, &r[i], sizeof r[i]);
}

/* Rows [first, last) of columns [left, right), one by one. */
static void turn_rest(int size, const char *from, ptrdiff_t in, char *to, ptrdiff_t out,
                      int64_t first, int64_t last, int64_t left, int64_t right) {
  for (int64_t i = first; i < last; i++)
    for (int64_t j = left; j < right; j++)
      memcpy(to + j * out + i * size, from + i * in + j * size, (size_t)size);
}

enum {
  BLOCK = 64, /* bytes along both sides: whole cache lines of both matrices */
  FAR = 1024  /* rows so many bytes apart and more drive each other out of the first-level cache */
};

static inline __attribute__((always_inline)) void turn_square(int size, const char *from,
                                                              ptrdiff_t in, char *to,
                                                              ptrdiff_t out) {
  if (size == 4)
    turn_words(from, in, to, out);
  else
    turn_doubles(from, in, to, out);
}

/* The block at from: read by whole cache lines, turned into a room of its own, and written by whole lines. */
static inline __attribute__((always_inline)) void turn_block(int size, const char *from,
                                                             ptrdiff_t in, char *to,
                                                             ptrdiff_t out) {
  const int half = BLOCK / size / 2;
  _Alignas(BLOCK) char room[BLOCK / 4 * BLOCK];
  for (int down = 0; down < 2; down++)
    for (int right = 0; right < 2; right++)
      turn_square(size, from + down * half * in + right * half * size, in,
                  room + right * half * BLOCK + down * half * size, BLOCK);
  for (int i = 0; i < 2 * half; i++) memcpy(to + i * out, room + i * BLOCK, BLOCK);
}

/* Lines that will be wanted, `rows` of them at even distances: no processor foresees steps as long as these. Addresses may lie
 * outside of the array. */
static inline __attribute__((always_inline)) void fetch(uintptr_t at, ptrdiff_t step, int64_t rows,
                                                        bool write) {
  for (int64_t k = 0; k < rows; k++, at += (uintptr_t)step)
    if (write)
      __builtin_prefetch((const void *)at, 1);
    else
      __builtin_prefetch((const void *)at, 0);
}

/* Along rows of the result, so that whole lines follow one another there. */
static inline __attribute__((always_inline)) void turn_far(int size, const char *from, ptrdiff_t in,
                                                           char *to, ptrdiff_t out, int64_t rows,
                                                           int64_t columns) {
  const int64_t side = BLOCK / size;
  for (int64_t j = 0; j < columns; j += side)
    for (int64_t i = 0; i < rows; i += side) {
      const char *block = from + i * in + j * size;
      char *place = to + j * out + i * size;
      fetch((uintptr_t)block + (uintptr_t)(2 * side * in), in, side, false);
      fetch((uintptr_t)place + BLOCK, out, side, true);
      turn_block(size, block, in, place, out);
    }
}

static inline __attribute__((always_inline)) void turn_near(int size, const char *from,
                                                            ptrdiff_t in, char *to, ptrdiff_t out,
                                                            int64_t rows, int64_t columns) {
  const int64_t half = BLOCK / size / 2;
  for (int64_t i = 0; i < rows; i += half)
    for (int64_t j = 0; j < columns; j += half) {
      const char *square = from + i * in + j * size;
      if (j % (2 * half) == 0)
        fetch((uintptr_t)square + (uintptr_t)(4 * half * in), in, half, false);
      turn_square(size, square, in, to + j * out + i * size, out);
    }
}

/* Whole blocks. */
WIDE static void turn_blocks(int size, const char *from, ptrdiff_t in, char *to, ptrdiff_t out,
                             int64_t rows, int64_t columns) {
  bool far = out >= FAR || out <= -FAR;
  if (size == 4 && far)
    turn_far(4, from, in, to, out, rows, columns);
  else if (size == 4)
    turn_near(4, from, in, to, out, rows, columns);
  else if (far)
    turn_far(8, from, in, to, out, rows, columns);
  else
    turn_near(8, from, in, to, out, rows, columns);
}

void th__turn(int size, const void *from, ptrdiff_t in, void *to, ptrdiff_t out, int64_t rows,
              int64_t columns) {
  const int64_t side = BLOCK / size;
  int64_t whole_rows = rows / side * side, whole_columns = columns / side * side;
  turn_blocks(size, from, in, to, out, whole_rows, whole_columns);
  turn_rest(size, from, in, to, out, 0, whole_rows, whole_columns, columns);
  turn_rest(size, from, in, to, out, whole_rows, rows, 0, columns);
}
