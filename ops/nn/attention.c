/* Owns embedding and attention, composed of other operators. */
#include <math.h>

#include "engine/base/error.h"
#include "ops/compose.h"
#include "ops/op.h"

th_array *th_embedding(const th_array *weight, const th_array *indices) {
  return th_take(weight, indices, 0);
}

/* Scores where `allowed` (bool, or added to them), -inf elsewhere. */
static th_array *masked(const th_array *scores, const th_array *allowed) {
  if (scores == NULL || allowed == NULL) return NULL;
  if (allowed->layout.dtype != TH_BOOL) return th_add(scores, allowed);
  th_array *never = th_full(NULL, 0, (double)-INFINITY, scores->layout.dtype, scores->device);
  return th_where(allowed, scores, never);
}

/* (l, s): query i sees keys 0 to i. */
static th_array *causal_mask(int64_t queries, int64_t keys, th_device d) {
  th_array *i = th_arange(0, (double)queries, 1, TH_I64, d);
  th_array *j = th_arange(0, (double)keys, 1, TH_I64, d);
  return i != NULL && j != NULL ? th_greater_equal(th_expand_dims(i, 1), j) : NULL;
}

th_array *th_sdpa(const th_array *q, const th_array *k, const th_array *v, const th_array *mask,
                  bool causal) {
  return th_sdpa_dropout(NULL, q, k, v, mask, causal, 0);
}

th_array *th_sdpa_dropout(th_generator *g, const th_array *q, const th_array *k, const th_array *v,
                          const th_array *mask, bool causal, double p) {
  const th_array *all[] = {q, k, v};
  for (int i = 0; i < 3; i++) {
    if (all[i] == NULL) {
      (void)th__null_input("sdpa", i);
      return NULL;
    }
    if (all[i]->layout.ndim < 2)
      return th__fail_null(TH_ESHAPE, "sdpa: input %d has fewer than 2 dimensions", i);
  }
  int64_t depth = q->layout.shape[q->layout.ndim - 1];
  int64_t queries = q->layout.shape[q->layout.ndim - 2];
  int64_t keys = k->layout.shape[k->layout.ndim - 2];
  th__composing c = th__compose();
  th_array *turned = th_matrix_transpose((th_array *)k);
  th_array *scaled = th_multiply_scalar(q, 1 / sqrt((double)depth));
  th_array *scores = th_matmul(scaled, turned);
  if (mask != NULL) scores = masked(scores, mask);
  if (causal) scores = masked(scores, causal_mask(queries, keys, q->device));
  th_array *weights = th_softmax(scores, -1);
  if (p != 0) weights = th_dropout(g, weights, p, true);
  return th__composed(c, th_matmul(weights, v));
}
