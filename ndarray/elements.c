/* Owns casting and moving elements between two layouts on the host. */
#include <string.h>

#include "ndarray/array.h"
#include "ndarray/convert.h"

/* One row: n elements, steps in bytes. */
typedef struct row {
  const char *in;
  char *out;
  ptrdiff_t in_step, out_step;
  int64_t n;
} row;

typedef void (*row_fn)(th_dtype from, row r);

/* A dense row gets a loop of its own, which vectorizes. */
TH__ALWAYS_INLINE void convert_row(th_dtype from, ptrdiff_t in_size, th_dtype to,
                                   ptrdiff_t out_size, row r) {
  if (r.in_step == in_size && r.out_step == out_size) {
    for (int64_t i = 0; i < r.n; i++)
      th__convert(from, r.in + i * in_size, to, r.out + i * out_size);
  } else {
    for (int64_t i = 0; i < r.n; i++)
      th__convert(from, r.in + i * r.in_step, to, r.out + i * r.out_step);
  }
}

TH__ALWAYS_INLINE void convert_row_from(th_dtype from, th_dtype to, ptrdiff_t out_size, row r) {
#define TH__CASE_ROW(UPPER, lower, type, size, kind)                                               \
  case TH_##UPPER: convert_row(TH_##UPPER, size, to, out_size, r); break;
  switch (from) {
    TH_FOR_DTYPE(TH__CASE_ROW)
  default: break;
  }
#undef TH__CASE_ROW
}

/* One function per target type, each with a loop per source type. */
#define TH__ROW_TO(UPPER, lower, type, size, kind)                                                 \
  static void row_to_##lower(th_dtype from, row r) { convert_row_from(from, TH_##UPPER, size, r); }
TH_FOR_DTYPE(TH__ROW_TO)
#undef TH__ROW_TO

static const row_fn row_to[TH_DTYPE_COUNT] = {
#define TH__ENTRY(UPPER, lower, type, size, kind) [TH_##UPPER] = row_to_##lower,
    TH_FOR_DTYPE(TH__ENTRY)
#undef TH__ENTRY
};

#define TH__MOVE(type)                                                                             \
  for (int64_t i = 0; i < r.n; i++)                                                                \
  *(type *)(r.out + i * r.out_step) = *(const type *)(r.in + i * r.in_step)

/* Elements of the same type are moved as bits. */
static void move_row(th_dtype t, row r) {
  ptrdiff_t size = (ptrdiff_t)th_dtype_size(t);
  if (r.in_step == size && r.out_step == size) {
    memcpy(r.out, r.in, (size_t)r.n * (size_t)size);
    return;
  }
  switch (size) {
  case 1: TH__MOVE(uint8_t); break;
  case 2: TH__MOVE(uint16_t); break;
  case 4: TH__MOVE(uint32_t); break;
  default: TH__MOVE(uint64_t); break;
  }
}

/* Side of the squares in which a transposing move goes, so that both sides stay within the cache. */
#define TILE 64

/* Rows along dimension `ndim - 1` of l[0] (from) and l[1] (to), over all other dimensions in row-major order. */
static void walk(const th_layout *l, int ndim, const char *in, char *out, row_fn move) {
  ptrdiff_t in_size = (ptrdiff_t)th_dtype_size(l[0].dtype);
  ptrdiff_t out_size = (ptrdiff_t)th_dtype_size(l[1].dtype);
  int last = ndim - 1;
  int64_t index[TH_MAX_DIMS] = {0};
  row r = {in, out, l[0].strides[last] * in_size, l[1].strides[last] * out_size, l[0].shape[last]};
  for (;;) {
    move(l[0].dtype, r);
    int d = last - 1;
    for (; d >= 0; d--) {
      r.in += l[0].strides[d] * in_size;
      r.out += l[1].strides[d] * out_size;
      if (++index[d] < l[0].shape[d]) break;
      r.in -= l[0].shape[d] * l[0].strides[d] * in_size;
      r.out -= l[0].shape[d] * l[1].strides[d] * out_size;
      index[d] = 0;
    }
    if (d < 0) return;
  }
}

static int64_t distance(int64_t stride) { return stride < 0 ? -stride : stride; }

/* The dimension that `from` runs along most densely, if it is not the last one. */
static int dense_dimension(const th_layout *from, int ndim) {
  int best = ndim - 1;
  for (int d = 0; d < ndim; d++)
    if (distance(from->strides[d]) < distance(from->strides[best]) && from->shape[d] > 8) best = d;
  return best;
}

void th__copy_elements(const th_layout *from, const void *from_first, const th_layout *to,
                       void *to_first) {
  if (th__layout_size(from) == 0) return;
  th_layout l[2] = {*from, *to};
  const char *in = from_first;
  char *out = to_first;
  row_fn move = from->dtype == to->dtype ? move_row : row_to[to->dtype];
  int ndim = th__layouts_collapse(l, 2);
  if (ndim == 0) {
    l[0].shape[0] = l[1].shape[0] = 1;
    l[0].strides[0] = (l[1].strides[0] = 1);
    ndim = 1;
  }
  int last = ndim - 1, dense = dense_dimension(&l[0], ndim);
  if (dense == last || l[0].shape[last] <= 8) {
    walk(l, ndim, in, out, move);
    return;
  }
  int64_t rows = l[0].shape[dense], columns = l[0].shape[last];
  for (int64_t i = 0; i < rows; i += TILE) {
    for (int64_t j = 0; j < columns; j += TILE) {
      l[0].shape[dense] = rows - i < TILE ? rows - i : TILE;
      l[0].shape[last] = columns - j < TILE ? columns - j : TILE;
      int64_t skip_in = i * l[0].strides[dense] + j * l[0].strides[last];
      int64_t skip_out = i * l[1].strides[dense] + j * l[1].strides[last];
      walk(l, ndim, in + skip_in * (int64_t)th_dtype_size(l[0].dtype),
           out + skip_out * (int64_t)th_dtype_size(l[1].dtype), move);
    }
  }
}
