/* View arithmetic apart from slicing, against naive walks over all elements. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "engine/base/error.h"
#include "ndarray/shape.h"

TestSuite(view, .timeout = 60);

static uint64_t state = 11;
static int64_t next_random(int64_t below) {
  state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (int64_t)(state >> 33) % below;
}

#define SHAPE(...) (int64_t[]){__VA_ARGS__}, (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8)
#define AXES(...)  (int[]){__VA_ARGS__}, (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int))

static th_layout make(const int64_t *shape, int ndim) {
  th_layout l;
  cr_assert(eq(int, th__layout_make(&l, shape, ndim, TH_F32, "test"), TH_OK));
  return l;
}

static void expect_error(const char *text) {
  cr_assert(strstr(th_last_error(), text) != NULL, "message '%s' has no '%s'", th_last_error(),
            text);
}

static int64_t place(const th_layout *l, const int64_t *index) {
  int64_t at = l->offset;
  for (int d = 0; d < l->ndim; d++) at += index[d] * l->strides[d];
  return at;
}

static void index_of(const th_layout *l, int64_t i, int64_t *index) {
  for (int d = l->ndim - 1; d >= 0; d--) {
    index[d] = i % l->shape[d];
    i /= l->shape[d];
  }
}

static int places(const th_layout *l, int64_t *out) {
  int64_t n = th__layout_size(l), index[TH_MAX_DIMS];
  for (int64_t i = 0; i < n; i++) {
    index_of(l, i, index);
    out[i] = place(l, index);
  }
  return (int)n;
}

/* A layout whose strides are permuted, flipped, spread or repeated. */
static th_layout random_layout(void) {
  static const int64_t sizes[] = {1, 2, 3, 4, 6, 2, 3, 1};
  int64_t shape[4] = {0};
  int ndim = (int)next_random(5);
  for (int d = 0; d < ndim; d++) shape[d] = sizes[next_random(8)];
  th_layout l = make(shape, ndim);
  for (int d = 0; d < ndim; d++) {
    int64_t what = next_random(8);
    if (what == 0) l.strides[d] *= 2;
    if (what == 1) l.strides[d] = 0;
    if (what == 2) {
      l.offset += (l.shape[d] - 1) * l.strides[d];
      l.strides[d] = -l.strides[d];
    }
  }
  if (ndim > 1 && next_random(2)) {
    th_layout permuted;
    int axes[4] = {0, 1, 2, 3};
    int i = (int)next_random(ndim), j = (int)next_random(ndim), kept = axes[i];
    axes[i] = axes[j];
    axes[j] = kept;
    cr_assert(eq(int, th__view_permute(&l, axes, ndim, &permuted), TH_OK));
    l = permuted;
  }
  return l;
}

/* A random shape of n elements. */
static int random_shape(int64_t n, int64_t *shape) {
  int ndim = 0;
  while (n > 1 && ndim < 5) {
    int64_t factor = 1 + next_random(n);
    while (n % factor) factor--;
    if (factor > 1 || next_random(3) == 0) shape[ndim++] = factor;
    n /= factor;
  }
  if (n > 1 || next_random(2)) shape[ndim++] = n;
  return ndim;
}

/* Whether strides exist for the view's shape: those between neighbours are the only candidates. */
static bool expressible(const th_layout *view, const int64_t *want) {
  int64_t n = th__layout_size(view), index[TH_MAX_DIMS];
  th_layout l = *view;
  l.offset = want[0];
  int64_t run = 1;
  for (int d = l.ndim - 1; d >= 0; d--) {
    l.strides[d] = l.shape[d] > 1 ? want[run] - want[0] : 0;
    run *= l.shape[d];
  }
  for (int64_t i = 0; i < n; i++) {
    index_of(&l, i, index);
    if (place(&l, index) != want[i]) return false;
  }
  return true;
}

Test(view, reshape_copies_only_when_it_must) {
  int copies = 0, views = 0;
  for (int round = 0; round < 50000; round++) {
    int64_t want[2000], got[2000], shape[8];
    th_layout a = random_layout(), view;
    bool copy;
    int n = places(&a, want), ndim = random_shape(n, shape);
    cr_assert(th__view_reshape(&a, shape, ndim, &view, &copy) == TH_OK, "%s", th_last_error());
    cr_assert(eq(int, view.ndim, ndim));
    cr_assert(memcmp(view.shape, shape, (size_t)ndim * sizeof *shape) == 0);
    cr_assert(copy == !expressible(&view, want), "round %d: %s", round,
              copy ? "copies" : "does not copy");
    copies += copy;
    views += !copy;
    if (copy) {
      cr_assert(th__layout_contiguous(&view) && view.offset == 0);
    } else {
      places(&view, got);
      cr_assert(memcmp(want, got, (size_t)n * sizeof *got) == 0, "round %d", round);
    }
  }
  cr_assert(copies > 1000 && views > 1000, "both happen: %d, %d", copies, views);
}

Test(view, reshape_infers_one_size) {
  th_layout a = make(SHAPE(3, 4)), view;
  bool copy;
  cr_assert(eq(int, th__view_reshape(&a, SHAPE(2, -1), &view, &copy), TH_OK));
  cr_assert(eq(i64, view.shape[1], 6));
  cr_assert(eq(int, th__view_reshape(&a, SHAPE(-1), &view, &copy), TH_OK));
  cr_assert(eq(i64, view.shape[0], 12));
  a = make(SHAPE(0, 4));
  cr_assert(eq(int, th__view_reshape(&a, SHAPE(-1, 7), &view, &copy), TH_OK));
  cr_assert(eq(i64, view.shape[0], 0));
  cr_assert(not(copy));
}

Test(view, reshape_refuses) {
  th_layout a = make(SHAPE(3, 4)), empty = make(SHAPE(0, 4)), view;
  bool copy;
  cr_assert(eq(int, th__view_reshape(&a, SHAPE(5, 2), &view, &copy), TH_ESHAPE));
  expect_error("reshape: shape (3, 4) with 12 elements does not fit (5, 2)");
  cr_assert(eq(int, th__view_reshape(&a, SHAPE(5, -1), &view, &copy), TH_ESHAPE));
  expect_error("reshape: 12 elements do not fit shape (5, -1)");
  cr_assert(eq(int, th__view_reshape(&a, SHAPE(-1, -1), &view, &copy), TH_ESHAPE));
  expect_error("reshape: more than one size is -1 in shape (-1, -1)");
  cr_assert(eq(int, th__view_reshape(&a, SHAPE(-2, 3), &view, &copy), TH_ESHAPE));
  expect_error("reshape: negative size in shape (-2, 3)");
  cr_assert(eq(int, th__view_reshape(&empty, SHAPE(-1, 0), &view, &copy), TH_ESHAPE));
  cr_assert(eq(int, th__view_reshape(&a, SHAPE(INT64_MAX, INT64_MAX), &view, &copy), TH_EOVERFLOW));
  cr_assert(eq(int, th__view_reshape(&a, NULL, 2, &view, &copy), TH_EINVAL));
  cr_assert(eq(int, th__view_reshape(&a, NULL, 9, &view, &copy), TH_ESHAPE));
}

Test(view, permute) {
  th_layout a = make(SHAPE(2, 3, 4)), view;
  cr_assert(eq(int, th__view_permute(&a, AXES(2, 0, -2), &view), TH_OK));
  for (int64_t i = 0; i < 24; i++) {
    int64_t index[3];
    index_of(&view, i, index);
    cr_assert(eq(i64, place(&view, index), place(&a, (int64_t[]){index[1], index[2], index[0]})));
  }
  cr_assert(eq(int, th__view_permute(&a, AXES(0, 1), &view), TH_ESHAPE));
  expect_error("permute_dims: 2 axes for an array with 3 dimensions");
  cr_assert(eq(int, th__view_permute(&a, AXES(0, 1, 1), &view), TH_ESHAPE));
  expect_error("permute_dims: axis 1 is given twice");
  cr_assert(eq(int, th__view_permute(&a, AXES(0, 1, 3), &view), TH_ESHAPE));
  cr_assert(eq(int, th__view_permute(&a, NULL, 3, &view), TH_EINVAL));
  th_layout scalar = make(NULL, 0);
  cr_assert(eq(int, th__view_permute(&scalar, NULL, 0, &view), TH_OK));
}

Test(view, expand_and_squeeze_are_inverse) {
  for (int axis = -3; axis < 3; axis++) {
    th_layout a = make(SHAPE(3, 4)), grown, back;
    cr_assert(eq(int, th__view_expand(&a, axis, &grown), TH_OK));
    int at = axis < 0 ? axis + 3 : axis;
    cr_assert(eq(int, grown.ndim, 3));
    cr_assert(eq(i64, grown.shape[at], 1));
    cr_assert(th__layout_contiguous(&grown));
    cr_assert(eq(int, th__view_squeeze(&grown, &at, 1, &back), TH_OK));
    cr_assert(th__layout_same_shape(&a, &back));
    cr_assert(eq(i64, back.strides[0], 4));
    cr_assert(eq(i64, back.strides[1], 1));
  }
  th_layout a = make(SHAPE(1, 3, 1)), view, full = make(SHAPE(1, 1, 1, 1, 1, 1, 1, 1));
  cr_assert(eq(int, th__view_squeeze(&a, NULL, 0, &view), TH_OK));
  cr_assert(eq(int, view.ndim, 1));
  cr_assert(eq(int, th__view_squeeze(&a, AXES(1), &view), TH_ESHAPE));
  expect_error("squeeze: dimension 1 of shape (1, 3, 1) is not 1");
  cr_assert(eq(int, th__view_expand(&a, 4, &view), TH_ESHAPE));
  cr_assert(eq(int, th__view_expand(&full, 0, &view), TH_ESHAPE));
  expect_error("expand_dims: 9 dimensions, at most 8");
}

Test(view, flip) {
  for (int round = 0; round < 2000; round++) {
    th_layout a = random_layout(), view;
    uint32_t mask = (uint32_t)next_random(1 << a.ndim);
    int axes[4], n = 0;
    for (int d = 0; d < a.ndim; d++)
      if (mask >> d & 1) axes[n++] = next_random(2) ? d : d - a.ndim;
    if (n == 0) mask = 15; /* no axes means all */
    cr_assert(eq(int, th__view_flip(&a, axes, n, &view), TH_OK));
    for (int64_t i = 0; i < th__layout_size(&a); i++) {
      int64_t index[4], mirrored[4];
      index_of(&a, i, index);
      for (int d = 0; d < a.ndim; d++)
        mirrored[d] = mask >> d & 1 ? a.shape[d] - 1 - index[d] : index[d];
      cr_assert(eq(i64, place(&view, index), place(&a, mirrored)));
    }
  }
  th_layout empty = make(SHAPE(0, 3)), view;
  cr_assert(eq(int, th__view_flip(&empty, AXES(0), &view), TH_OK));
  cr_assert(eq(int, th__view_flip(&empty, AXES(2), &view), TH_ESHAPE));
  expect_error("flip: axis 2 of an array with 2 dimensions");
}
