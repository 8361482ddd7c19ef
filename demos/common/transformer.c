/* Owns the parameters of a transformer and what it computes. */
#include "common/transformer.h"

#include <math.h>

#include "common/demo.h"

static void add(transformer *t, th_array *a) {
  DEMO_TRY(th_require_grad(a));
  t->params[t->n++] = a;
}

static void add_norm(transformer *t) {
  add(t, DEMO_MAKE(th_ones(TH_SHAPE(t->width), TH_F32, t->device)));
  add(t, DEMO_MAKE(th_zeros(TH_SHAPE(t->width), TH_F32, t->device)));
}

static void add_table(transformer *t, th_generator *g, int64_t rows, int64_t columns, double sd) {
  add(t, DEMO_MAKE(th_normal(g, TH_SHAPE(rows, columns), 0, sd, TH_F32, t->device)));
}

static void add_linear(transformer *t, th_generator *g, int64_t inputs, int64_t outputs,
                       double sd) {
  add_table(t, g, inputs, outputs, sd);
  add(t, DEMO_MAKE(th_zeros(TH_SHAPE(outputs), TH_F32, t->device)));
}

/* Small weights, smaller ones where blocks add to what came in. */
void transformer_begin(transformer *t, th_generator *g) {
  double sd = 0.02, last = sd / sqrt(2.0 * (double)t->blocks);
  t->n = 0;
  add_table(t, g, t->ids, t->width, sd);
  add_table(t, g, t->context, t->width, sd);
  for (int64_t i = 0; i < t->blocks; i++) {
    add_norm(t);
    add_linear(t, g, t->width, 3 * t->width, sd);
    add_linear(t, g, t->width, t->width, last);
    add_norm(t);
    add_linear(t, g, t->width, 4 * t->width, sd);
    add_linear(t, g, 4 * t->width, t->width, last);
  }
  add_norm(t);
  add_table(t, g, t->width, t->ids, sd);
}

void transformer_end(transformer *t) {
  for (int i = 0; i < t->n; i++) th_release(t->params[i]);
}

/* Each place looks at itself and those before, with every head: qkv (n, context, 3 width) -> (n, context, width). */
static th_array *attend(const transformer *t, th_array *qkv) {
  th_array *parts[3];
  th_array *split = th_reshape(qkv, TH_SHAPE(-1, t->context, 3, t->heads, t->width / t->heads));
  DEMO_TRY(th_unstack(th_permute_dims(split, (int[]){2, 0, 3, 1, 4}, 5), 0, parts));
  th_array *out = th_sdpa(parts[0], parts[1], parts[2], NULL, true);
  out = th_permute_dims(out, (int[]){0, 2, 1, 3}, 4);
  return th_reshape(out, TH_SHAPE(-1, t->context, t->width));
}

th_array *transformer_logits(const transformer *t, const th_array *ids) {
  th_array *const *p = t->params;
  th_array *x = th_add(th_embedding(p[0], ids), p[1]);
  p += 2;
  for (int64_t i = 0; i < t->blocks; i++, p += 12) {
    th_array *qkv = th_linear(th_layer_norm(x, 1, p[0], p[1], 1e-5), p[2], p[3]);
    x = th_add(x, th_linear(attend(t, qkv), p[4], p[5]));
    th_array *wide = th_linear(th_layer_norm(x, 1, p[6], p[7], 1e-5), p[8], p[9]);
    x = th_add(x, th_linear(th_gelu(wide), p[10], p[11]));
  }
  return DEMO_MAKE(th_matmul(th_layer_norm(x, 1, p[0], p[1], 1e-5), p[2]));
}
