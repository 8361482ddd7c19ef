/* Shapes: making, sizes, broadcasting, axes, collapsing. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "engine/base/error.h"
#include "ndarray/dtype.h"
#include "ndarray/shape.h"

TestSuite(shape, .timeout = 60);

static uint64_t state = 99;
static int64_t next_random(int64_t below) {
  state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (int64_t)(state >> 33) % below;
}

#define SHAPE(...) (int64_t[]){__VA_ARGS__}, (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8)

static th_layout make(const int64_t *shape, int ndim) {
  th_layout l;
  cr_assert(eq(int, th__layout_make(&l, shape, ndim, TH_F32, "test"), TH_OK));
  return l;
}

static void expect_error(const char *text) {
  cr_assert(strstr(th_last_error(), text) != NULL, "message '%s' has no '%s'", th_last_error(),
            text);
}

Test(shape, contiguous_strides) {
  th_layout l = make(SHAPE(2, 3, 4));
  cr_assert(eq(i64, l.strides[0], 12));
  cr_assert(eq(i64, l.strides[1], 4));
  cr_assert(eq(i64, l.strides[2], 1));
  cr_assert(eq(i64, l.offset, 0));
  cr_assert(eq(i64, th__layout_size(&l), 24));
  cr_assert(eq(i64, th__layout_bytes(&l), 96));
  cr_assert(th__layout_contiguous(&l));
  l = make(NULL, 0);
  cr_assert(eq(i64, th__layout_size(&l), 1));
  cr_assert(th__layout_contiguous(&l));
  l = make(SHAPE(3, 0, 5));
  cr_assert(eq(i64, th__layout_size(&l), 0));
  cr_assert(th__layout_contiguous(&l));
}

Test(shape, refused_shapes) {
  th_layout l;
  int64_t nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
  cr_assert(eq(int, th__layout_make(&l, SHAPE(2, -1), TH_F32, "zeros"), TH_ESHAPE));
  expect_error("zeros: negative size in shape (2, -1)");
  cr_assert(eq(int, th__layout_make(&l, nine, 9, TH_F32, "zeros"), TH_ESHAPE));
  expect_error("zeros: 9 dimensions, at most 8");
  cr_assert(eq(int, th__layout_make(&l, nine, -1, TH_F32, "zeros"), TH_ESHAPE));
  cr_assert(eq(int, th__layout_make(&l, NULL, 1, TH_F32, "zeros"), TH_EINVAL));
  cr_assert(eq(int, th__layout_make(&l, nine, 1, (th_dtype)13, "zeros"), TH_EDTYPE));
  expect_error("zeros: 13 is not an element type");
}

Test(shape, overflowing_shapes) {
  th_layout l;
  int64_t big = INT64_MAX;
  cr_assert(eq(int, th__layout_make(&l, &big, 1, TH_U8, "zeros"), TH_OK), "the largest there is");
  cr_assert(eq(int, th__layout_make(&l, &big, 1, TH_U16, "zeros"), TH_EOVERFLOW));
  expect_error("zeros: shape (9223372036854775807,) of u16 has more bytes");
  cr_assert(
      eq(int, th__layout_make(&l, SHAPE(1 << 30, 1 << 30, 1 << 3), TH_U8, "zeros"), TH_EOVERFLOW));
  cr_assert(eq(int, th__layout_make(&l, SHAPE(1 << 30, 1 << 30, 1 << 2), TH_U8, "zeros"), TH_OK));
  /* A size of 0 hides no overflow of the others: strides must be right, too. */
  cr_assert(eq(int, th__layout_make(&l, SHAPE(0, INT64_MAX, 3), TH_U8, "zeros"), TH_EOVERFLOW));
  cr_assert(eq(int, th__layout_make(&l, SHAPE(INT64_MAX, 3, 0), TH_U8, "zeros"), TH_EOVERFLOW));
}

Test(shape, text) {
  char text[TH__SHAPE_TEXT], small[8];
  cr_assert(eq(str, (char *)th__shape_text(NULL, 0, text, sizeof text), "()"));
  cr_assert(eq(str, (char *)th__shape_text(SHAPE(3), text, sizeof text), "(3,)"));
  cr_assert(eq(str, (char *)th__shape_text(SHAPE(3, 4), text, sizeof text), "(3, 4)"));
  int64_t widest[8];
  for (int i = 0; i < 8; i++) widest[i] = INT64_MIN;
  th__shape_text(widest, 8, text, sizeof text);
  cr_assert(eq(chr, text[strlen(text) - 1], ')'), "eight of the longest numbers fit");
  cr_assert(eq(str, (char *)th__shape_text(SHAPE(1000, 2000), small, sizeof small), "(1000, "));
}

Test(shape, contiguity_by_definition) {
  for (int round = 0; round < 20000; round++) {
    th_layout l = {.dtype = TH_F32, .ndim = (int)next_random(4)};
    for (int d = 0; d < l.ndim; d++) {
      l.shape[d] = next_random(4);
      l.strides[d] = next_random(9) - 2;
    }
    int64_t n = th__layout_size(&l), index[4] = {0};
    bool expected = true;
    for (int64_t i = 0; i < n; i++) {
      int64_t at = 0, rest = i;
      for (int d = l.ndim - 1; d >= 0; d--) {
        index[d] = rest % l.shape[d];
        rest /= l.shape[d];
        at += index[d] * l.strides[d];
      }
      expected &= at == i;
    }
    cr_assert(th__layout_contiguous(&l) == expected, "round %d", round);
  }
}

Test(shape, overlaps) {
  th_layout l = make(SHAPE(2, 3));
  cr_assert(not(th__layout_overlaps_itself(&l)));
  l.strides[0] = 0;
  cr_assert(th__layout_overlaps_itself(&l));
  l.shape[0] = 1;
  cr_assert(not(th__layout_overlaps_itself(&l)));
  l.shape[0] = 2;
  l.shape[1] = 0;
  cr_assert(not(th__layout_overlaps_itself(&l)));
}

Test(shape, extent) {
  th_layout l = {.dtype = TH_F32, .ndim = 2, .shape = {3, 4}, .strides = {-4, 1}, .offset = 8};
  int64_t first, last;
  cr_assert(eq(int, th__layout_extent(&l, &first, &last), TH_OK));
  cr_assert(eq(i64, first, 0));
  cr_assert(eq(i64, last, 11));
  l.strides[1] = INT64_MAX / 2;
  cr_assert(eq(int, th__layout_extent(&l, &first, &last), TH_EOVERFLOW));
  l.shape[0] = 0;
  cr_assert(eq(int, th__layout_extent(&l, &first, &last), TH_OK));
  cr_assert(last < first);
}

Test(shape, broadcasting_two) {
  th_layout a = make(SHAPE(3, 1, 5)), b = make(SHAPE(4, 1)), out = {.dtype = TH_F32};
  cr_assert(eq(int, th__broadcast_shapes(&a, &b, &out, "add"), TH_OK));
  cr_assert(eq(int, out.ndim, 3));
  cr_assert(eq(i64, out.shape[0], 3));
  cr_assert(eq(i64, out.shape[1], 4));
  cr_assert(eq(i64, out.shape[2], 5));
  a = make(SHAPE(0, 3));
  b = make(SHAPE(1, 3));
  cr_assert(eq(int, th__broadcast_shapes(&a, &b, &out, "add"), TH_OK));
  cr_assert(eq(i64, out.shape[0], 0));
  b = make(SHAPE(2, 3));
  cr_assert(eq(int, th__broadcast_shapes(&a, &b, &out, "add"), TH_ESHAPE));
  cr_assert(eq(str, (char *)th_last_error(), "add: shapes (0, 3) and (2, 3) do not broadcast"));
}

Test(shape, broadcasting_to) {
  th_layout a = make(SHAPE(3, 1)), out;
  cr_assert(eq(int, th__layout_broadcast(&a, SHAPE(2, 3, 4), &out, "broadcast_to"), TH_OK));
  cr_assert(eq(i64, out.strides[0], 0));
  cr_assert(eq(i64, out.strides[1], 1));
  cr_assert(eq(i64, out.strides[2], 0));
  cr_assert(eq(int, th__layout_broadcast(&a, SHAPE(3, 0), &out, "broadcast_to"), TH_OK));
  cr_assert(eq(int, th__layout_broadcast(&a, SHAPE(4, 4), &out, "broadcast_to"), TH_ESHAPE));
  cr_assert(
      eq(str, (char *)th_last_error(), "broadcast_to: shape (3, 1) does not broadcast to (4, 4)"));
  cr_assert(eq(int, th__layout_broadcast(&a, SHAPE(3), &out, "broadcast_to"), TH_ESHAPE));
  cr_assert(eq(int, th__layout_broadcast(&a, SHAPE(-1, 1), &out, "broadcast_to"), TH_ESHAPE));
  cr_assert(
      eq(int, th__layout_broadcast(&a, SHAPE(3, INT64_MAX), &out, "broadcast_to"), TH_EOVERFLOW));
}

Test(shape, axes) {
  int axis = 7;
  uint32_t mask = 0;
  cr_assert(eq(int, th__axis(-1, 3, "sum", &axis), TH_OK));
  cr_assert(eq(int, axis, 2));
  cr_assert(eq(int, th__axis(3, 3, "sum", &axis), TH_ESHAPE));
  cr_assert(eq(str, (char *)th_last_error(), "sum: axis 3 of an array with 3 dimensions"));
  cr_assert(eq(int, th__axis(0, 0, "sum", &axis), TH_ESHAPE));
  cr_assert(eq(int, th__axes_mask((int[]){-1, 0}, 2, 3, "sum", &mask), TH_OK));
  cr_assert(eq(u32, mask, 5));
  cr_assert(eq(int, th__axes_mask(NULL, 0, 3, "sum", &mask), TH_OK));
  cr_assert(eq(u32, mask, 7));
  cr_assert(eq(int, th__axes_mask((int[]){1, -2}, 2, 3, "sum", &mask), TH_ESHAPE));
  cr_assert(eq(str, (char *)th_last_error(), "sum: axis 1 is given twice"));
  cr_assert(eq(int, th__axes_mask(NULL, 2, 3, "sum", &mask), TH_EINVAL));
  cr_assert(eq(int, th__axes_mask((int[]){1}, -1, 3, "sum", &mask), TH_EINVAL));
}

/* Places of all elements in row-major order. */
static int places(const th_layout *l, int64_t *out) {
  int64_t n = th__layout_size(l);
  for (int64_t i = 0; i < n; i++) {
    int64_t rest = i;
    out[i] = 0;
    for (int d = l->ndim - 1; d >= 0; d--) {
      out[i] += rest % l->shape[d] * l->strides[d];
      rest /= l->shape[d];
    }
  }
  return (int)n;
}

Test(shape, collapsing_keeps_every_place) {
  for (int round = 0; round < 20000; round++) {
    th_layout l[3], before[3];
    int64_t x[2000], y[2000];
    int n = 1 + (int)next_random(3), ndim = (int)next_random(5);
    for (int k = 0; k < n; k++) {
      l[k] = (th_layout){.dtype = TH_F32, .ndim = ndim};
      int64_t stride = 1;
      for (int d = ndim - 1; d >= 0; d--) {
        l[k].shape[d] = k ? l[0].shape[d] : next_random(5);
        l[k].strides[d] = next_random(5) ? stride : next_random(7) - 3;
        stride = l[k].strides[d] * l[k].shape[d];
      }
      before[k] = l[k];
    }
    int kept = th__layouts_collapse(l, n);
    for (int k = 0; k < n; k++) {
      cr_assert(eq(int, l[k].ndim, kept));
      int count = places(&before[k], x);
      cr_assert(eq(int, places(&l[k], y), count));
      cr_assert(memcmp(x, y, (size_t)count * sizeof *x) == 0, "round %d", round);
    }
    for (int d = 0; d < kept; d++) cr_assert(ne(i64, l[0].shape[d], 1));
  }
}

Test(shape, collapsing_a_contiguous_one_leaves_one_dimension) {
  th_layout l[2] = {make(SHAPE(2, 1, 3, 4)), make(SHAPE(2, 1, 3, 4))};
  cr_assert(eq(int, th__layouts_collapse(l, 2), 1));
  cr_assert(eq(i64, l[1].shape[0], 24));
  th_layout scalar = make(NULL, 0);
  cr_assert(eq(int, th__layouts_collapse(&scalar, 1), 0));
}
