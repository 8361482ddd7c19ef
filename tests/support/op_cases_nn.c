/* Owns the table of calls of operators for networks. Gradients that are operators of their own are called directly, so that
 * their own gradients are checked, too. */
#include "ops/params_nn.h"
#include "support/op_cases.h"
#include "ops/nn/clip.h"
#include "thrum/thrum.h"

#define CALL(id, expression)                                                                       \
  static th_array *call_##id(th_array *const *in, int n, void *user) {                             \
    const op_call_context *c = user;                                                               \
    (void)c, (void)n, (void)in;                                                                    \
    return expression;                                                                             \
  }
/* The operator itself with these parameters. */
#define DIRECT(id, type, ...)                                                                      \
  static th_array *call_##id(th_array *const *in, int n, void *user) {                             \
    const op_call_context *c = user;                                                               \
    const type p = {__VA_ARGS__};                                                                  \
    const th_array *operands[OP_CASE_INPUTS];                                                      \
    for (int i = 0; i < n; i++) operands[i] = in[i];                                               \
    return th__call(c->op, &p, operands, n);                                                       \
  }
/* A generator of its own, so that a repeated call draws the same. */
#define DRAW(id, expression)                                                                       \
  static th_array *call_##id(th_array *const *in, int n, void *user) {                             \
    const op_call_context *c = user;                                                               \
    th_generator *g = th_generator_new(5);                                                         \
    th_array *out = expression;                                                                    \
    (void)c, (void)in;                                                                             \
    th_generator_release(g);                                                                       \
    return out;                                                                                    \
  }

DRAW(randint, th_randint(g, TH_SHAPE(3, 5), 0, 100, c->dtype, c->device))
DRAW(bernoulli, th_bernoulli(g, TH_SHAPE(3, 5), 0.3, c->dtype, c->device))
DRAW(categorical, th_categorical(g, in[0], 5))
DRAW(dropout, th_dropout(g, in[0], 0.25, true))

#define WINDOWS .stride = {2, 1}, .padding = {1, 1}, .dilation = {1, 2}, .groups = 2
CALL(conv2d, th_conv2d(in[0], in[1], in[2],
                       &(th_conv_config){
                           .stride = {2}, .padding = {1, 1}, .dilation = {0, 2}, .groups = 2}))
DIRECT(conv2d_input_slope, th__window_params, WINDOWS, .size = {5, 4})
DIRECT(conv2d_weight_slope, th__window_params, WINDOWS, .size = {3, 2})

#define POOL .kernel = {3, 2}, .stride = {2, 2}, .padding = {1, 1}
CALL(max_pool2d, th_max_pool2d(in[0], &(th_pool_config){POOL}))
CALL(avg_pool2d, th_avg_pool2d(in[0], &(th_pool_config){POOL, .exclude_padding = true}))
DIRECT(max_slope, th__window_params, POOL, .dilation = {1, 1}, .groups = 1)
DIRECT(avg_slope, th__window_params, POOL, .dilation = {1, 1}, .size = {6, 5},
       .count_padding = true)

CALL(layer_norm, th_layer_norm(in[0], 2, in[1], in[2], 1e-5))
CALL(rms_norm, th_rms_norm(in[0], 1, in[1], 1e-5))
CALL(batch_norm, th_batch_norm(in[0], NULL, NULL, in[1], in[2], true, 0.1, 1e-5))
DIRECT(last_slope, th__norm_params, .axes = 4, .center = true, .eps = 1e-3)
DIRECT(weights_slope, th__norm_params, .axes = 4, .center = true, .eps = 1e-3)
DIRECT(rms_slope, th__norm_params, .axes = 6, .eps = 1e-3)
DIRECT(batch_slope, th__norm_params, .axes = 5, .center = true, .eps = 1e-3)

/* --- updates: parameter, gradient, two states --- */

static th_array *call_adam(th_array *const *in, int n, void *user) {
  th_array *p = op_case_target(in[0], ((const op_call_context *)user)->strided_target);
  th_array *m = op_case_target(in[2], false), *v = op_case_target(in[3], false), *g = in[1];
  const th_adam_config config = {.lr = 0.01, .weight_decay = 0.1};
  th_status status = th_adam_step(&p, &g, &m, &v, 1, 3, &config);
  th_release(m);
  th_release(v);
  return op_case_checked(p, status);
}

static th_array *call_gradients_norm(th_array *const *in, int n, void *user) {
  return th__gradients_norm_call(in, 2, 2);
}

static th_array *call_gradients_shrink(th_array *const *in, int n, void *user) {
  th_array *g[] = {op_case_target(in[0], ((const op_call_context *)user)->strided_target),
                   op_case_target(in[1], false), th__gradients_norm_call(in, 2, 2)};
  th_status status = th__gradients_shrink_call(g, 3, 0.5);
  th_release(g[1]);
  th_release(g[2]);
  return op_case_checked(g[0], status);
}

static th_array *call_rmsprop(th_array *const *in, int n, void *user) {
  th_array *p = op_case_target(in[0], ((const op_call_context *)user)->strided_target);
  th_array *s = op_case_target(in[2], false), *v = op_case_target(in[3], false), *g = in[1];
  th_status status = th_rmsprop_step(&p, &g, &s, &v, 1, 0.01, 0.99, 1e-8, 0.1, 0.9);
  th_release(s);
  th_release(v);
  return op_case_checked(p, status);
}

#define X2                                                                                         \
  {                                                                                                \
    'x', 2, { 3, 4 }                                                                               \
  }
#define X3                                                                                         \
  {                                                                                                \
    'x', 3, { 2, 3, 4 }                                                                            \
  }
#define IMAGE                                                                                      \
  {                                                                                                \
    'x', 4, { 2, 4, 5, 4 }                                                                         \
  }
#define KERNEL                                                                                     \
  {                                                                                                \
    'x', 4, { 4, 2, 3, 2 }                                                                         \
  }
#define FRAMES                                                                                     \
  {                                                                                                \
    'x', 4, { 2, 4, 3, 4 }                                                                         \
  }
#define PLANES                                                                                     \
  {                                                                                                \
    'x', 4, { 2, 2, 6, 5 }                                                                         \
  }
#define POOLED                                                                                     \
  {                                                                                                \
    'x', 4, { 2, 2, 3, 3 }                                                                         \
  }

const op_case op_cases_nn[] = {
    {"randint", call_randint, {{0}}, TH_INTS},
    {"bernoulli", call_bernoulli, {{0}}, TH_ANY},
    {"categorical", call_categorical, {X2}, 0, OP_CASE_OWN_BITS},
    {"dropout", call_dropout, {X2}, 0, OP_CASE_EMPTY},
    {"conv2d", call_conv2d, {IMAGE, KERNEL, {'x', 1, {4}}}, 0, OP_CASE_ROUNDS},
    {"conv2d_input_slope", call_conv2d_input_slope, {FRAMES, KERNEL}, 0, OP_CASE_ROUNDS},
    {"conv2d_weight_slope", call_conv2d_weight_slope, {IMAGE, FRAMES}, 0, OP_CASE_ROUNDS},
    {"max_pool2d", call_max_pool2d, {PLANES}},
    {"max_pool2d_slope", call_max_slope, {PLANES, POOLED}, 0, OP_CASE_ROUNDS},
    {"max_pool2d_take", call_max_slope, {PLANES, PLANES}},
    {"avg_pool2d", call_avg_pool2d, {PLANES}, 0, OP_CASE_ROUNDS},
    {"avg_pool2d_slope", call_avg_slope, {POOLED}, 0, OP_CASE_ROUNDS},
    {"layer_norm", call_layer_norm, {X3, X2, X2}, 0, OP_CASE_ROUNDS},
    {"norm_weights", call_weights_slope, {X3, X3}, 0, OP_CASE_ROUNDS},
    {"layer_norm_slope", call_last_slope, {X3, X3, {'x', 1, {4}}}, 0, OP_CASE_ROUNDS},
    {"rms_norm", call_rms_norm, {X3, {'x', 1, {4}}}, 0, OP_CASE_ROUNDS},
    {"rms_norm_slope", call_rms_slope, {X3, X3, X2}, 0, OP_CASE_ROUNDS},
    {"batch_norm", call_batch_norm, {X3, {'x', 1, {3}}, {'x', 1, {3}}}, 0, OP_CASE_ROUNDS},
    {"batch_norm_slope", call_batch_slope, {X3, X3, {'x', 2, {3, 1}}}, 0, OP_CASE_ROUNDS},
    {"adam_step", call_adam, {X2, X2, X2, X2}, TH_FLOATS, OP_CASE_EMPTY | OP_CASE_ROUNDS},
    {"gradients_norm", call_gradients_norm, {X2, X2}, TH_FLOATS, OP_CASE_EMPTY | OP_CASE_ROUNDS},
    {"gradients_shrink",
     call_gradients_shrink,
     {X2, X2},
     TH_FLOATS,
     OP_CASE_EMPTY | OP_CASE_ROUNDS},
    {"rmsprop_step", call_rmsprop, {X2, X2, X2, X2}, TH_FLOATS, OP_CASE_EMPTY | OP_CASE_ROUNDS},
    {0},
};
