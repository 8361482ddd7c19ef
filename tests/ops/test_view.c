/* The public view functions: what they show, that they share, that they write through, and their gradients. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <string.h>

#include "thrum/thrum.h"

/* A scope around each test releases what it makes. */
static th_scope around;
static void begin(void) { around = th_scope_begin(); }
static void end(void) {
  th_scope_end(around);
  (void)th_wait_all();
}

TestSuite(view, .timeout = 60, .init = begin, .fini = end);

static th_array *counting(void) {
  th_array *flat = th_arange(0, 12, 1, TH_F64, th_cpu(0));
  th_array *a = th_reshape(flat, TH_SHAPE(3, 4));
  th_release(flat);
  return a;
}

static void expect(const th_array *a, const double *wanted, const char *what) {
  double got[64];
  cr_assert(ne(ptr, (void *)a, NULL), "%s: %s", what, th_last_error());
  int64_t n = th_array_size(a);
  cr_assert(eq(int, th_read(a, got, (size_t)n * 8), TH_OK), "%s: %s", what, th_last_error());
  for (int64_t i = 0; i < n; i++)
    cr_assert(got[i] == wanted[i], "%s: element %d is %g", what, (int)i, got[i]);
}

static void expect_shape(const th_array *a, const int64_t *shape, int ndim, const char *what) {
  cr_assert(ne(ptr, (void *)a, NULL), "%s: %s", what, th_last_error());
  cr_assert(eq(int, th_array_ndim(a), ndim), "%s", what);
  for (int d = 0; d < ndim; d++)
    cr_assert(eq(i64, th_array_shape(a)[d], shape[d]), "%s: dimension %d", what, d);
}

Test(view, what_they_show) {
  th_array *a = counting();
  expect(th_slice(a, "1"), (const double[]){4, 5, 6, 7}, "1");
  expect(th_slice(a, "::-2, -1"), (const double[]){11, 3}, "::-2, -1");
  expect_shape(th_slice(a, "None, ..., 0, None"), TH_SHAPE(1, 3, 1), "None, ..., 0, None");
  expect(th_matrix_transpose(a), (const double[]){0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}, "T");
  expect(th_flip(a, (const int[]){0}, 1), (const double[]){8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3},
         "flip rows");
  expect(th_flip(a, NULL, 0), (const double[]){11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, "flip all");
  expect_shape(th_broadcast_to(a, TH_SHAPE(2, 3, 4)), TH_SHAPE(2, 3, 4), "broadcast");
  th_array *b = th_expand_dims(a, 1);
  expect_shape(b, TH_SHAPE(3, 1, 4), "expand");
  expect_shape(th_expand_dims(a, -1), TH_SHAPE(3, 4, 1), "expand at the end");
  expect_shape(th_squeeze(b, NULL, 0), TH_SHAPE(3, 4), "squeeze");
  expect_shape(th_permute_dims(b, (const int[]){2, 0, 1}, 3), TH_SHAPE(4, 3, 1), "permute");
  expect_shape(th_reshape(a, TH_SHAPE(2, -1)), TH_SHAPE(2, 6), "reshape");
  expect_shape(th_reshape(th_slice(a, "0, 0"), TH_SHAPE(1, 1)), TH_SHAPE(1, 1), "from 0-d");
}

Test(view, they_share_and_write_through) {
  th_array *a = counting();
  th_array *views[] = {th_slice(a, "1:, ::2"), th_matrix_transpose(a), th_flip(a, NULL, 0),
                       th_expand_dims(a, 0), th_reshape(a, TH_SHAPE(4, 3))};
  for (int i = 0; i < 5; i++) {
    cr_assert(th_array_shares(a, views[i]), "view %d", i);
    cr_assert(eq(int, th_add_scalar_inplace(views[i], 1), TH_OK));
  }
  expect(a, (const double[]){4, 5, 6, 7, 9, 9, 11, 11, 13, 13, 15, 15}, "after five writes");
  th_array *turned = th_matrix_transpose(a), *copied = th_reshape(turned, TH_SHAPE(-1));
  cr_assert(not(th_array_shares(a, copied)), "no strides express it");
  expect(copied, (const double[]){4, 9, 13, 5, 9, 13, 6, 11, 15, 7, 11, 15}, "reshaped copy");
  uint64_t version = th_array_version(a);
  cr_assert(eq(int, th_fill(turned, 0), TH_OK));
  cr_assert(eq(u64, th_array_version(a), version + 1), "views count writes together");
}

static void expect_refused(const th_array *a, th_status status, const char *word) {
  cr_assert(eq(ptr, (void *)a, NULL), "%s", word);
  cr_assert(eq(int, th_last_status(), status), "%s: %s", word, th_last_error());
  cr_assert(strncmp(th_last_error(), word, strlen(word)) == 0, "%s: %s", word, th_last_error());
  th_clear_error();
}

Test(view, refusals) {
  th_array *a = counting(), *flat = th_arange(0, 3, 1, TH_F64, th_cpu(0));
  char many[400];
  memset(many, ' ', sizeof many - 1);
  many[sizeof many - 1] = 0;
  expect_refused(th_slice(a, "1:2:0"), TH_EINVAL, "slice");
  expect_refused(th_slice(a, "x"), TH_EINVAL, "slice");
  expect_refused(th_slice(a, "7"), TH_ESHAPE, "slice");
  expect_refused(th_slice(a, "0, 0, 0"), TH_ESHAPE, "slice");
  expect_refused(th_slice(a, many), TH_EINVAL, "slice");
  expect_refused(th_slice(a, NULL), TH_EINVAL, "slice");
  expect_refused(th_slice(NULL, ":"), TH_EINVAL, "slice");
  expect_refused(th_reshape(a, TH_SHAPE(5, 2)), TH_ESHAPE, "reshape");
  expect_refused(th_reshape(a, TH_SHAPE(-1, -1)), TH_ESHAPE, "reshape");
  expect_refused(th_reshape(a, NULL, 9), TH_ESHAPE, "reshape");
  expect_refused(th_matrix_transpose(flat), TH_ESHAPE, "matrix_transpose");
  expect_refused(th_permute_dims(a, (const int[]){0, 0}, 2), TH_ESHAPE, "permute_dims");
  expect_refused(th_permute_dims(a, (const int[]){0}, 1), TH_ESHAPE, "permute_dims");
  expect_refused(th_flip(a, (const int[]){2}, 1), TH_ESHAPE, "flip");
  expect_refused(th_squeeze(a, (const int[]){0}, 1), TH_ESHAPE, "squeeze");
  expect_refused(th_expand_dims(a, 4), TH_ESHAPE, "expand_dims");
  expect_refused(th_broadcast_to(a, TH_SHAPE(3, 3)), TH_ESHAPE, "broadcast_to");
  expect_refused(th_broadcast_to(a, TH_SHAPE(4)), TH_ESHAPE, "broadcast_to");
  expect_refused(th_broadcast_to(a, TH_SHAPE(INT64_C(1) << 62, 3, 4)), TH_EOVERFLOW,
                 "broadcast_to");
}

typedef th_array *(*view_fn)(th_array *a);
static th_array *slice_(th_array *a) { return th_slice(a, "::-2, 1:3"); }
static th_array *twice(th_array *a) {
  return th_slice(th_matrix_transpose(th_slice(a, "1:")), "1, ...");
}
static th_array *wide(th_array *a) {
  return th_broadcast_to(th_slice(a, "1:2"), TH_SHAPE(2, 3, 4));
}
static th_array *copied(th_array *a) { return th_reshape(th_matrix_transpose(a), TH_SHAPE(6, 2)); }
static th_array *turned(th_array *a) {
  return th_permute_dims(th_expand_dims(a, 0), (const int[]){-1, 0, 1}, 3);
}

static th_array *apply(th_array *const *in, int n, void *user) {
  th_scope scope = th_scope_begin();
  th_array *view = (*(view_fn *)user)(in[0]);
  th_array *squares = th_keep(th_multiply(view, view));
  th_scope_end(scope);
  return squares;
}

Test(view, gradients) {
  static const struct {
    const char *name;
    view_fn fn;
  } list[] = {{"slice", slice_},
              {"slices of slices", twice},
              {"broadcast", wide},
              {"reshape that copies", copied},
              {"permute", turned}};
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    th_array *a = counting();
    view_fn fn = list[i].fn;
    cr_assert(eq(int, th_grad_check(apply, &a, 1, &fn, 1e-4, 1e-6, NULL), TH_OK), "%s: %s",
              list[i].name, th_last_error());
    th_release(a);
  }
}
