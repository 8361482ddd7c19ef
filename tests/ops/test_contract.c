/* tensordot, vecdot, outer, einsum, against sums in loops. */
#include "ops/values.h"

TestSuite(ops_contract, .timeout = 60, .fini = stop_engine);

/* Element of a (with two broadcast sizes of 1) by letters. */
static double element(const double *values, const th_array *a, const char *labels,
                      const int64_t *index) {
  int64_t at = 0;
  for (int d = 0; d < th_array_ndim(a); d++) {
    int64_t size = th_array_shape(a)[d];
    at = at * size + (size == 1 ? 0 : index[labels[d] - 'a']);
  }
  return values[at];
}

/* The sum over all letters that the result has not, by its definition. sizes by letter, 0 = not used. */
static void check(const char *formula, th_array *a, const char *la, th_array *b, const char *lb,
                  const char *out, const int64_t *sizes) {
  th_array *got = th_einsum(formula, a, b);
  cr_assert(got != NULL, "%s: %s", formula, th_last_error());
  double *x = values_of(a), *y = b ? values_of(b) : NULL, *z = values_of(got);
  double *wanted = calloc((size_t)th_array_size(got) + 1, sizeof *wanted);
  int64_t index[5] = {0}, total = 1;
  for (int l = 0; l < 5; l++) total *= sizes[l] ? sizes[l] : 1;
  for (int64_t i = 0; i < total; i++) {
    int64_t rest = i, at = 0;
    for (int l = 0; l < 5; l++) {
      int64_t size = sizes[l] ? sizes[l] : 1;
      index[l] = rest % size;
      rest /= size;
    }
    for (const char *c = out; *c; c++) at = at * sizes[*c - 'a'] + index[*c - 'a'];
    wanted[at] += element(x, a, la, index) * (b ? element(y, b, lb, index) : 1);
  }
  cr_assert(worst_of(got, wanted, th_array_size(got)) < 1e-12, "%s", formula);
  free(x);
  free(y);
  free(z);
  free(wanted);
  th_release(got);
}

Test(ops_contract, einsum) {
  const int64_t abc[] = {2, 3, 4, 0, 0}, all[] = {2, 3, 4, 5, 0}, one[] = {3, 0, 0, 0, 0};
  th_array *ab = noisy(TH_SHAPE(2, 3), TH_F64, 1), *bc = noisy(TH_SHAPE(3, 4), TH_F64, 1);
  th_array *abc3 = noisy(TH_SHAPE(2, 3, 4), TH_F64, 1), *acd = noisy(TH_SHAPE(2, 4, 5), TH_F64, 1);
  th_array *aa = noisy(TH_SHAPE(3, 3), TH_F64, 1), *b1 = noisy(TH_SHAPE(1, 4), TH_F64, 1);
  th_array *a1 = noisy(TH_SHAPE(3), TH_F64, 1);
  const int64_t ab_[] = {2, 3, 0, 0, 0};
  check("ab,bc->ac", ab, "ab", bc, "bc", "ac", abc);
  check("ab,bc", ab, "ab", bc, "bc", "ac", abc);
  check(" ab , bc -> ca ", ab, "ab", bc, "bc", "ca", abc);
  check("abc,acd->abd", abc3, "abc", acd, "acd", "abd", all);
  check("abc,acd->dab", abc3, "abc", acd, "acd", "dab", all);
  check("abc,acd->", abc3, "abc", acd, "acd", "", all);
  check("ab,ab->a", ab, "ab", ab, "ab", "a", ab_);
  check("ab,ab->ab", ab, "ab", ab, "ab", "ab", ab_);
  check("ab,bc->abc", ab, "ab", bc, "bc", "abc", abc);
  check("ab,bc->c", ab, "ab", bc, "bc", "c", abc);
  check("aa->a", aa, "aa", NULL, NULL, "a", one);
  check("aa", aa, "aa", NULL, NULL, "", one);
  check("aa,a->a", aa, "aa", a1, "a", "a", one);
  check("abc->cb", abc3, "abc", NULL, NULL, "cb", abc);
  check("ab->ba", ab, "ab", NULL, NULL, "ba", ab_);
  check("ab,bc->ac", ab, "ab", b1, "bc", "ac", abc); /* size 1 broadcasts */
  th_array *list[] = {ab, bc, abc3, acd, aa, b1, a1};
  for (int i = 0; i < 7; i++) th_release(list[i]);
}

Test(ops_contract, einsum_keeps_types_and_refuses) {
  th_array *a = th_ones(TH_SHAPE(2, 3), TH_I8, th_cpu(0)),
           *b = th_ones(TH_SHAPE(3), TH_I8, th_cpu(0));
  th_array *c = th_einsum("ij->j", a, NULL), *d = th_einsum("ij,j->i", a, b);
  cr_assert(th_array_dtype(c) == TH_I8 && distance_to(c, 2, 2, 2) == 0);
  cr_assert(th_array_dtype(d) == TH_I8 && distance_to(d, 3, 3) == 0);
  static const char *const wrong[] = {"ij,jk->il", "ij,jk->ii", "ij.j",  "ij",
                                      "ij,j->i->", "ij,j-",     "ij,j,k"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    cr_assert(th_einsum(wrong[i], a, b) == NULL, "%s", wrong[i]);
    cr_assert(failed_with(TH_EINVAL, "einsum"), "%s", wrong[i]);
  }
  cr_assert(th_einsum("ijk,j", a, b) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "einsum: argument 0"));
  cr_assert(th_einsum("ij,i->j", a, b) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "einsum: sizes 2 and 3 of 'i'"));
  cr_assert(th_einsum("ij,j", a, NULL) == NULL);
  cr_assert(failed_with(TH_EINVAL, "einsum"));
  th_array *all[] = {a, b, c, d};
  for (int i = 0; i < 4; i++) th_release(all[i]);
}

Test(ops_contract, tensordot) {
  th_array *a = noisy(TH_SHAPE(2, 3, 4), TH_F64, 1), *b = noisy(TH_SHAPE(4, 5, 2), TH_F64, 1);
  th_array *got = th_tensordot(a, b, (const int[]){2, 0}, (const int[]){0, -1}, 2);
  th_array *same = th_einsum("abc,cda->bd", a, b);
  th_array *outer = th_tensordot(a, b, NULL, NULL, 0), *flat = th_einsum("abc,def->abcdef", a, b);
  double *wanted = values_of(same), *wide = values_of(flat);
  cr_assert(worst_of(got, wanted, 15) < 1e-13);
  cr_assert(eq(int, th_array_ndim(outer), 6));
  cr_assert(worst_of(outer, wide, 24 * 40) < 1e-13);
  free(wanted);
  free(wide);
  cr_assert(th_tensordot(a, b, (const int[]){1}, (const int[]){1}, 1) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "tensordot: sizes 3 and 5"));
  cr_assert(th_tensordot(a, b, (const int[]){1, 1}, (const int[]){0, 1}, 2) == NULL);
  cr_assert(th_last_status() != TH_OK);
  th_array *all[] = {a, b, got, same, outer, flat};
  for (int i = 0; i < 6; i++) th_release(all[i]);
}

Test(ops_contract, vecdot_and_outer) {
  th_array *a = vector(1, 2, 3), *b = vector(4, 5, 6), *m = noisy(TH_SHAPE(2, 3), TH_F64, 1);
  th_array *d = th_vecdot(a, b, -1), *o = th_outer(a, b), *rows = th_vecdot(m, a, -1);
  cr_assert(th_item(d) == 32 && th_array_ndim(d) == 0);
  cr_assert(distance_to(o, 4, 5, 6, 8, 10, 12, 12, 15, 18) == 0);
  double *x = values_of(m);
  cr_assert(distance_to(rows, x[0] + 2 * x[1] + 3 * x[2], x[3] + 2 * x[4] + 3 * x[5]) < 1e-14);
  th_array *down = th_vecdot(m, m, -2);
  cr_assert(distance_to(down, x[0] * x[0] + x[3] * x[3], x[1] * x[1] + x[4] * x[4],
                        x[2] * x[2] + x[5] * x[5]) < 1e-14);
  free(x);
  cr_assert(th_vecdot(a, b, 0) == NULL && failed_with(TH_EINVAL, "vecdot"));
  cr_assert(th_vecdot(a, b, -2) == NULL && failed_with(TH_ESHAPE, "vecdot"));
  cr_assert(th_outer(a, m) == NULL && failed_with(TH_ESHAPE, "outer"));
  th_array *all[] = {a, b, m, d, o, rows, down};
  for (int i = 0; i < 7; i++) th_release(all[i]);
}

static th_array *composed(th_array *const *in, int n, void *user) {
  th_scope scope = th_scope_begin();
  th_array *a = th_einsum("abc,bd->adc", in[0], in[1]);
  a = th_tensordot(a, in[1], (const int[]){1}, (const int[]){1}, 1);
  a = th_vecdot(a, th_outer(th_einsum("abb->b", in[0], NULL), th_vecdot(in[1], in[1], -1)), -2);
  a = th_keep(a);
  th_scope_end(scope);
  return a;
}

Test(ops_contract, gradients_agree_with_differences) {
  th_array *in[] = {noisy(TH_SHAPE(2, 3, 3), TH_F64, 1), noisy(TH_SHAPE(3, 2), TH_F64, 1)};
  double worst = 0;
  th_status status = th_grad_check(composed, in, 2, NULL, 1e-5, 1e-6, &worst);
  cr_assert(status == TH_OK, "%g, %s", worst, th_last_error());
  th_release(in[0]);
  th_release(in[1]);
}
