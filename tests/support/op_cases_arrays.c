/* Owns the calls of the operators of thrum/ops_arrays.h. */
#include "support/op_cases.h"
#include "thrum/thrum.h"

#define CALL(id, expression)                                                                       \
  static th_array *call_##id(th_array *const *in, int n, void *user) {                             \
    const op_call_context *c = user;                                                               \
    (void)c, (void)n, (void)in;                                                                    \
    return expression;                                                                             \
  }

CALL(diagonal, th_diagonal(in[0], 1))
CALL(roll, th_roll(in[0], (const int64_t[]){1, -2}, (const int[]){0, 1}, 2))
CALL(pad, th_pad(in[0], (const int64_t[]){1, 0}, (const int64_t[]){0, 2}, 1))
CALL(take_along_axis, th_take_along_axis(in[0], in[1], 1))
CALL(count_nonzero, th_count_nonzero(in[0], (const int[]){1}, 1, false))
CALL(var, th_variance(in[0], (const int[]){1}, 1, 1, false))
CALL(std, th_std(in[0], (const int[]){0}, 1, 0, true))
CALL(logsumexp, th_logsumexp(in[0], (const int[]){-1}, 1, false))
CALL(vector_norm, th_vector_norm(in[0], (const int[]){1}, 1, 3, false))
CALL(cumulative_sum, th_cumulative_sum(in[0], 1, true))
CALL(cumulative_prod, th_cumulative_prod(in[0], 0, false))
CALL(sort, th_sort(in[0], 1, true))
CALL(argsort, th_argsort(in[0], 1, false))

static th_array *call_put(th_array *const *in, int n, void *user) {
  th_array *target = op_case_target(in[0], ((const op_call_context *)user)->strided_target);
  return op_case_checked(target, th_put_inplace(target, in[1], in[2]));
}

static th_array *call_masked(th_array *const *in, int n, void *user) {
  th_array *target = op_case_target(in[0], ((const op_call_context *)user)->strided_target);
  return op_case_checked(target, th_masked_fill_inplace(target, in[1], 1));
}

static th_array *call_topk(th_array *const *in, int n, void *user) {
  th_array *values;
  return th_topk(in[0], 2, 1, true, &values, NULL) == TH_OK ? values : NULL;
}

static th_array *call_searchsorted(th_array *const *in, int n, void *user) {
  th_array *sorted = th_sort(in[0], 0, false);
  th_array *out = th_searchsorted(sorted, in[1], true);
  th_release(sorted);
  return out;
}

static th_array *call_nonzero(th_array *const *in, int n, void *user) {
  th_array *places[2];
  if (th_nonzero(in[0], places) != TH_OK) return NULL;
  th_array *both = th_stack(places, 2, 1);
  th_release(places[0]);
  th_release(places[1]);
  return both;
}

#define M34                                                                                        \
  {                                                                                                \
    'x', 2, { 3, 4 }                                                                               \
  }
const op_case op_cases_arrays[] = {
    {"diagonal", call_diagonal, {M34}, 0, OP_CASE_EMPTY},
    {"undiagonal", NULL, {{0}}, 0, OP_CASE_SEEN},
    {"roll", call_roll, {M34}, 0, OP_CASE_EMPTY},
    {"pad", call_pad, {M34}, 0, OP_CASE_EMPTY},
    {"take_along_axis", call_take_along_axis, {M34, {'i', 2, {3, 5}, 4}}, TH_ANY, OP_CASE_EMPTY},
    {"along_slope", NULL, {{0}}, 0, OP_CASE_SEEN},
    {"put_inplace", call_put, {{'x', 2, {5, 2}}, {'i', 1, {4}, 5}, {'x', 2, {4, 2}}}, TH_ANY, 0},
    {"masked_fill_inplace", call_masked, {M34, {'b', 1, {4}}}, TH_ANY, OP_CASE_EMPTY},
    {"nonzero", call_nonzero, {M34}, 0, OP_CASE_EMPTY | OP_CASE_NO_META},
    {"count_nonzero", call_count_nonzero, {M34}, 0, OP_CASE_EMPTY},
    {"var", call_var, {M34}, 0, OP_CASE_ROUNDS | OP_CASE_EMPTY},
    {"std", call_std, {M34}, 0, OP_CASE_ROUNDS},
    {"logsumexp", call_logsumexp, {M34}, 0, OP_CASE_ROUNDS | OP_CASE_EMPTY},
    {"vector_norm", call_vector_norm, {M34}, 0, OP_CASE_ROUNDS | OP_CASE_EMPTY},
    {"cumulative_sum", call_cumulative_sum, {M34}, 0, OP_CASE_ROUNDS | OP_CASE_EMPTY},
    {"cumulative_prod", call_cumulative_prod, {M34}, 0, OP_CASE_ROUNDS | OP_CASE_EMPTY},
    {"sort", call_sort, {M34}, 0, OP_CASE_EMPTY},
    {"argsort", call_argsort, {M34}, 0, OP_CASE_EMPTY},
    {"topk", call_topk, {M34}, 0, OP_CASE_EMPTY},
    {"searchsorted", call_searchsorted, {{'x', 1, {7}}, {'x', 2, {3, 4}}}, 0, OP_CASE_EMPTY},
    {NULL, NULL, {{0}}, 0, 0},
};
