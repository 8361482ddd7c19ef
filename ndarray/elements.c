/* Owns casting and moving elements between two layouts on the host, and turning planes around in squares. */
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

/* By pointer: copying a row just filled in would stall. */
typedef void (*row_fn)(th_dtype from, const row *r);

/* A dense row gets a loop of its own, which vectorizes. */
TH__ALWAYS_INLINE void convert_row(th_dtype from, ptrdiff_t in_size, th_dtype to,
                                   ptrdiff_t out_size, const row *r) {
  const char *in = r->in;
  char *out = r->out;
  ptrdiff_t in_step = r->in_step, out_step = r->out_step;
  int64_t n = r->n;
  if (in_step == in_size && out_step == out_size) {
    for (int64_t i = 0; i < n; i++) th__convert(from, in + i * in_size, to, out + i * out_size);
  } else {
    for (; n > 0; n--, in += in_step, out += out_step) th__convert(from, in, to, out);
  }
}

TH__ALWAYS_INLINE void convert_row_from(th_dtype from, th_dtype to, ptrdiff_t out_size,
                                        const row *r) {
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
  static void row_to_##lower(th_dtype from, const row *r) {                                        \
    convert_row_from(from, TH_##UPPER, size, r);                                                   \
  }
TH_FOR_DTYPE(TH__ROW_TO)
#undef TH__ROW_TO

static const row_fn row_to[TH_DTYPE_COUNT] = {
#define TH__ENTRY(UPPER, lower, type, size, kind) [TH_##UPPER] = row_to_##lower,
    TH_FOR_DTYPE(TH__ENTRY)
#undef TH__ENTRY
};

/* Elements of the same type are moved as bits; one function per size. */
#define TH__DEFINE_MOVE(type)                                                                      \
  static void move_##type(th_dtype t, const row *r) {                                              \
    const char *in = r->in;                                                                        \
    char *out = r->out;                                                                            \
    ptrdiff_t in_step = r->in_step, out_step = r->out_step;                                        \
    if (in_step == (ptrdiff_t)sizeof(type) && out_step == (ptrdiff_t)sizeof(type)) {               \
      memcpy(out, in, (size_t)r->n * sizeof(type));                                                \
      return;                                                                                      \
    }                                                                                              \
    for (int64_t n = r->n; n > 0; n--, in += in_step, out += out_step)                             \
      *(type *)out = *(const type *)in;                                                            \
  }
TH__DEFINE_MOVE(uint8_t)
TH__DEFINE_MOVE(uint16_t)
TH__DEFINE_MOVE(uint32_t)
TH__DEFINE_MOVE(uint64_t)

static row_fn mover(th_dtype from, th_dtype to) {
  if (from != to) return row_to[to];
  switch (th_dtype_size(to)) {
  case 1: return move_uint8_t;
  case 2: return move_uint16_t;
  case 4: return move_uint32_t;
  default: return move_uint64_t;
  }
}

/* Repeats: to[i times + j] = from[i], whose copy row by row would be one of rows of `times` elements. */
#define SPREAD(type)                                                                               \
  for (int64_t i = 0; i < n; i++) {                                                                \
    const type x = ((const type *)in)[i];                                                          \
    for (int64_t j = 0; j < times; j++) ((type *)out)[i * times + j] = x;                          \
  }                                                                                                \
  break;
#define SPREADS(times_)                                                                            \
  {                                                                                                \
    const int64_t times = times_;                                                                  \
    switch (size) {                                                                                \
    case 1: SPREAD(uint8_t)                                                                        \
    case 2: SPREAD(uint16_t)                                                                       \
    case 4: SPREAD(uint32_t)                                                                       \
    default: SPREAD(uint64_t)                                                                      \
    }                                                                                              \
    break;                                                                                         \
  }

static void spread(int64_t size, const char *in, char *out, int64_t n, int64_t each) {
  switch (each) {
  case 2: SPREADS(2)
  case 3: SPREADS(3)
  case 4: SPREADS(4)
  default: SPREADS(each)
  }
}

/* Goes through all positions of the first ndim dimensions of l[0] (from) and l[1] (to), in row-major order. */
typedef struct walker {
  const th_layout *l;
  int ndim;
  ptrdiff_t in_size, out_size;
  int64_t index[TH_MAX_DIMS];
  row r;
} walker;

static bool step(walker *w) {
  for (int d = w->ndim - 1; d >= 0; d--) {
    int64_t n = w->l[0].shape[d];
    ptrdiff_t in_step = w->l[0].strides[d] * w->in_size;
    ptrdiff_t out_step = w->l[1].strides[d] * w->out_size;
    w->r.in += in_step;
    w->r.out += out_step;
    if (++w->index[d] < n) return true;
    w->r.in -= n * in_step;
    w->r.out -= n * out_step;
    w->index[d] = 0;
  }
  return false;
}

/* The last two dimensions are repeats of elements of one type side by side. */
static bool spreads(const th_layout *l, int ndim) {
  int last = ndim - 1;
  return last >= 1 && l[0].dtype == l[1].dtype && l[0].strides[last] == 0 &&
         l[1].strides[last] == 1 && l[0].strides[last - 1] == 1 &&
         l[1].strides[last - 1] == l[1].shape[last];
}

#define TILE 32 /* elements */

/* A plane whose source is dense along rows while its target is along columns: it is moved in squares, so that the cache lines
 * of the source are still there when the next row needs them. */
typedef struct plane {
  th_dtype from;
  row_fn move;
  ptrdiff_t in_down, in_right, out_down, out_right; /* in bytes */
  int turned; /* bytes of an element if both are dense in these ways and it has 4 or 8, else 0 */
} plane;

static void move_plane(const plane *p, const char *in, char *out, int64_t rows, int64_t columns) {
  row r = {.in_step = p->in_right, .out_step = p->out_right};
  if (p->turned > 0) {
    th__turn(p->turned, in, p->in_right, out, p->out_down, columns, rows);
    return;
  }
  for (int64_t first = 0; first < rows; first += TILE) {
    int64_t last = rows - first < TILE ? rows : first + TILE;
    for (int64_t j = 0; j < columns; j += TILE) {
      r.n = columns - j < TILE ? columns - j : TILE;
      for (int64_t i = first; i < last; i++) {
        r.in = in + i * p->in_down + j * p->in_right;
        r.out = out + i * p->out_down + j * p->out_right;
        p->move(p->from, &r);
      }
    }
  }
}

static int64_t distance(int64_t stride) { return stride < 0 ? -stride : stride; }

/* The dimension that `from` runs along most densely, if that is not the last one and both are long enough to matter. */
static int dense_dimension(const th_layout *from, int ndim) {
  int last = ndim - 1, best = last;
  if (from->shape[last] < TILE / 4) return last;
  for (int d = 0; d < last; d++)
    if (from->strides[d] != 0 && distance(from->strides[d]) < distance(from->strides[best]) &&
        from->shape[d] >= TILE / 4)
      best = d;
  return best;
}

/* Makes dimension d of both layouts the one before the last. */
static void bring_down(th_layout *l, int ndim, int d) {
  for (int k = 0; k < 2; k++) {
    int64_t size = l[k].shape[d], stride = l[k].strides[d];
    for (int i = d; i < ndim - 2; i++) {
      l[k].shape[i] = l[k].shape[i + 1];
      l[k].strides[i] = l[k].strides[i + 1];
    }
    l[k].shape[ndim - 2] = size;
    l[k].strides[ndim - 2] = stride;
  }
}

void th__copy_elements(const th_layout *from, const void *from_first, const th_layout *to,
                       void *to_first) {
  if (th__layout_size(from) == 0) return;
  th_layout l[2] = {*from, *to};
  row_fn move = mover(from->dtype, to->dtype);
  int ndim = th__layouts_collapse(l, 2), last = ndim - 1;
  walker w = {.l = l,
              .in_size = (ptrdiff_t)th_dtype_size(from->dtype),
              .out_size = (ptrdiff_t)th_dtype_size(to->dtype),
              .r = {.in = from_first, .out = to_first, .n = 1}};
  if (ndim == 0) {
    move(from->dtype, &w.r);
    return;
  }
  if (spreads(l, ndim)) {
    w.ndim = last - 1;
    do spread(w.in_size, w.r.in, w.r.out, l[0].shape[last - 1], l[0].shape[last]);
    while (step(&w));
    return;
  }
  int dense = dense_dimension(&l[0], ndim);
  if (dense == last) {
    w.ndim = last;
    w.r.n = l[0].shape[last];
    w.r.in_step = l[0].strides[last] * w.in_size;
    w.r.out_step = l[1].strides[last] * w.out_size;
    do move(from->dtype, &w.r);
    while (step(&w));
    return;
  }
  bring_down(l, ndim, dense);
  w.ndim = ndim - 2;
  plane p = {from->dtype,
             move,
             l[0].strides[last - 1] * w.in_size,
             l[0].strides[last] * w.in_size,
             l[1].strides[last - 1] * w.out_size,
             l[1].strides[last] * w.out_size,
             0};
  bool wide = w.in_size == 4 || w.in_size == 8;
  if (wide && from->dtype == to->dtype && p.in_down == w.in_size && p.out_right == w.in_size)
    p.turned = (int)w.in_size;
  do move_plane(&p, w.r.in, w.r.out, l[0].shape[last - 1], l[0].shape[last]);
  while (step(&w));
}
