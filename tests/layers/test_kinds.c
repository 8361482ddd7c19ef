/* Every kind of layer against the operators it stands for, with gradients to all of its parameters. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "support/arrays.h"

TestSuite(layer_kinds, .timeout = 60, .fini = stop_engine);

static th_array *draw(th_generator *g, const int64_t *shape, int ndim) {
  return th_normal(g, shape, ndim, 0, 1, TH_F32, th_cpu(0));
}

static void equal_arrays(const th_array *a, const th_array *b, const char *what) {
  cr_assert(a != NULL && b != NULL, "%s: %s", what, th_last_error());
  cr_assert(eq(i64, th_array_size(a), th_array_size(b)));
  cr_assert(eq(int, th_array_ndim(a), th_array_ndim(b)));
  size_t bytes = (size_t)th_array_size(a) * 4;
  float *x = malloc(bytes), *y = malloc(bytes);
  cr_assert(eq(int, th_read(a, x, bytes), TH_OK), "%s", th_last_error());
  cr_assert(eq(int, th_read(b, y, bytes), TH_OK), "%s", th_last_error());
  cr_assert(memcmp(x, y, bytes) == 0, "%s", what);
  free(x);
  free(y);
}

/* A weighted sum of the result, walked back: every parameter has a gradient that is not 0 everywhere. */
static void gradients_flow(th_layer *l, const th_array *x) {
  th_array *parameters[16];
  int n = th_layer_parameters(l, parameters, 16);
  th_scope scope = th_scope_begin();
  th_array *y = th_layer_forward(l, x);
  th_array *weights = th_arange(1, (double)th_array_size(y) + 1, 1, TH_F32, th_cpu(0));
  weights = th_reshape(weights, th_array_shape(y), th_array_ndim(y));
  th_array *loss = th_sum(th_multiply(y, weights), NULL, 0, false);
  cr_assert(eq(int, th_backward(loss, 0), TH_OK), "%s", th_last_error());
  for (int i = 0; i < n; i++) {
    cr_assert(th_grad(parameters[i]) != NULL, "parameter %d", i);
    cr_assert(th_item(th_vector_norm(th_grad(parameters[i]), NULL, 0, 2, false)) > 0, "%d", i);
  }
  th_scope_end(scope);
}

Test(layer_kinds, linear) {
  th_generator *g = th_generator_new(1);
  th_array *x = draw(g, TH_SHAPE(5, 7));
  for (int bias = 0; bias < 2; bias++) {
    th_layer *l = th_linear_layer(g, 7, 3, bias);
    th_array *y = th_layer_forward(l, x);
    th_array *z = th_linear(x, th_layer_find(l, "weight"), th_layer_find(l, "bias"));
    equal_arrays(y, z, "linear");
    cr_assert(eq(i64, th_layer_count(l), 21 + 3 * bias));
    cr_assert(eq(int, th_layer_find(l, "bias") != NULL, bias));
    th_array *most = th_vector_norm(th_layer_find(l, "weight"), NULL, 0, INFINITY, false);
    double bound = th_item(most);
    cr_assert(bound <= 1 / sqrt(7) && bound > 0.8 / sqrt(7), "%g", bound);
    gradients_flow(l, x);
    th_layer_release(l);
    th_array *all[] = {y, z, most};
    for (int i = 0; i < 3; i++) th_release(all[i]);
  }
  th_release(x);
  th_generator_release(g);
}

Test(layer_kinds, conv2d_max_pool_and_flatten) {
  th_generator *g = th_generator_new(2);
  const th_conv_config config = {.stride = {2, 2}, .padding = {1, 1}, .groups = 2};
  const th_pool_config pool = {.kernel = {2, 2}};
  th_array *x = draw(g, TH_SHAPE(2, 4, 9, 9));
  th_layer *conv = th_conv2d_layer(g, 4, 6, 3, true, &config);
  cr_assert(eq(i64, th_layer_count(conv), 6 * 2 * 9 + 6));
  gradients_flow(conv, x);
  th_layer *all = th_sequential(TH_LAYERS(conv, th_max_pool_layer(&pool), th_flatten_layer()));
  th_scope scope = th_scope_begin();
  th_array *y = th_layer_forward(all, x);
  th_array *z = th_conv2d(x, th_layer_find(all, "0.weight"), th_layer_find(all, "0.bias"), &config);
  equal_arrays(y, th_reshape(th_max_pool2d(z, &pool), TH_SHAPE(2, 24)), "conv2d");
  cr_assert(eq(int, th_array_ndim(y), 2));
  th_array *flat = th_layer_forward(th_layer_child(all, 2), x);
  cr_assert(th_array_shares(flat, x), "a view");
  th_scope_end(scope);
  th_layer_release(all);
  th_release(x);
  th_generator_release(g);
}

Test(layer_kinds, batch_norm_by_mode) {
  th_generator *g = th_generator_new(3);
  th_array *x = draw(g, TH_SHAPE(6, 3, 2, 2));
  th_layer *l = th_batch_norm_layer(3, 0.3, 1e-3);
  th_scope scope = th_scope_begin();
  th_array *mean = th_zeros(TH_SHAPE(3), TH_F32, th_cpu(0)), *var = th_ones_like(mean);
  th_array *w = th_layer_find(l, "weight"), *b = th_layer_find(l, "bias");
  equal_arrays(th_layer_forward(l, x), th_batch_norm(x, mean, var, w, b, true, 0.3, 1e-3), "train");
  equal_arrays(th_layer_find(l, "running_mean"), mean, "running mean");
  equal_arrays(th_layer_find(l, "running_var"), var, "running variance");
  th_layer_train(l, false);
  equal_arrays(th_layer_forward(l, x), th_batch_norm(x, mean, var, w, b, false, 0.3, 1e-3), "eval");
  equal_arrays(th_layer_find(l, "running_mean"), mean, "evaluation leaves it");
  th_layer_train(l, true);
  gradients_flow(l, x);
  cr_assert(eq(i64, th_layer_count(l), 6), "buffers are no parameters");
  cr_assert(eq(int, th_layer_states(l), 4));
  th_scope_end(scope);
  th_layer_release(l);
  th_release(x);
  th_generator_release(g);
}

Test(layer_kinds, layer_norm_and_activation) {
  th_generator *g = th_generator_new(4);
  th_array *x = draw(g, TH_SHAPE(4, 3, 5));
  th_layer *l = th_layer_norm_layer(TH_SHAPE(3, 5), 0),
           *gelu = th_activation_layer("gelu", th_gelu);
  th_scope scope = th_scope_begin();
  th_array *w = th_layer_find(l, "weight"), *b = th_layer_find(l, "bias");
  equal_arrays(th_layer_forward(l, x), th_layer_norm(x, 2, w, b, 1e-5), "layer_norm");
  equal_arrays(th_layer_forward(gelu, x), th_gelu(x), "gelu");
  gradients_flow(l, x);
  th_scope_end(scope);
  th_layer_release(l);
  th_layer_release(gelu);
  th_release(x);
  th_generator_release(g);
}

Test(layer_kinds, embedding) {
  th_generator *g = th_generator_new(5);
  const int64_t rows[] = {2, 0, 1, 2};
  th_array *x = th_from_host(rows, TH_SHAPE(2, 2), TH_I64, th_cpu(0));
  th_layer *l = th_embedding_layer(g, 3, 4);
  th_scope scope = th_scope_begin();
  equal_arrays(th_layer_forward(l, x), th_embedding(th_layer_find(l, "weight"), x), "embedding");
  gradients_flow(l, x);
  th_scope_end(scope);
  th_layer_release(l);
  th_release(x);
  th_generator_release(g);
}

Test(layer_kinds, dropout_by_mode) {
  th_generator *g = th_generator_new(6), *same = th_generator_new(6);
  th_layer *l = th_dropout_layer(g, 0.5);
  th_scope scope = th_scope_begin();
  th_array *x = th_ones(TH_SHAPE(100), TH_F32, th_cpu(0));
  equal_arrays(th_layer_forward(l, x), th_dropout(same, x, 0.5, true), "training");
  th_layer_train(l, false);
  equal_arrays(th_layer_forward(l, x), x, "evaluation");
  th_scope_end(scope);
  th_layer_release(l);
  th_generator_release(g);
  th_generator_release(same);
}

/* One head after the other, by hand. */
static th_array *attend(const th_layer *l, th_array *x, int64_t heads, bool causal) {
  th_array *all =
      th_linear(x, th_layer_find(l, "in_proj.weight"), th_layer_find(l, "in_proj.bias"));
  th_array *results[8];
  int64_t width = th_array_shape(x)[2], size = width / heads;
  for (int64_t h = 0; h < heads; h++) {
    th_array *part[3];
    for (int64_t j = 0; j < 3; j++) {
      char spec[48];
      int64_t from = j * width + h * size;
      snprintf(spec, sizeof spec, "..., %d:%d", (int)from, (int)(from + size));
      part[j] = th_slice(all, spec);
    }
    results[h] = th_sdpa(part[0], part[1], part[2], NULL, causal);
  }
  return th_linear(th_concat(results, (int)heads, 2), th_layer_find(l, "out_proj.weight"),
                   th_layer_find(l, "out_proj.bias"));
}

Test(layer_kinds, attention) {
  th_generator *g = th_generator_new(7);
  th_array *x = draw(g, TH_SHAPE(2, 5, 12));
  for (int causal = 0; causal < 2; causal++) {
    th_layer *l = th_attention_layer(g, 12, 3, &(th_attention_config){.causal = causal});
    th_scope scope = th_scope_begin();
    th_array *off = th_subtract(th_layer_forward(l, x), attend(l, x, 3, causal));
    double worst = th_item(th_vector_norm(off, NULL, 0, INFINITY, false));
    cr_assert(worst < 1e-6, "%g", worst);
    th_array *one = th_slice(x, "1"), *of_one = th_layer_forward(l, one);
    off = th_subtract(of_one, th_slice(th_layer_forward(l, x), "1"));
    worst = th_item(th_vector_norm(off, NULL, 0, INFINITY, false));
    cr_assert(worst < 1e-6 && th_array_ndim(of_one) == 2, "without a batch: %g", worst);
    th_scope_end(scope);
    cr_assert(eq(i64, th_layer_count(l), 4 * 12 * 12 + 4 * 12));
    cr_assert(eq(int, th_layer_states(l), 4));
    gradients_flow(l, x);
    th_layer_release(l);
  }
  th_release(x);
  th_generator_release(g);
}

static void refused(th_layer *l, const char *why) {
  cr_assert(zero(ptr, l));
  cr_assert(strstr(th_last_error(), why) != NULL, "%s", th_last_error());
  th_clear_error();
}

Test(layer_kinds, bad_sizes_are_refused) {
  refused(th_linear_layer(NULL, 0, 3, true), "linear_layer: inputs is 0");
  refused(th_linear_layer(NULL, 3, -1, true), "linear_layer: outputs is -1");
  refused(th_conv2d_layer(NULL, 3, 4, 0, true, NULL), "conv2d_layer: kernel");
  refused(th_conv2d_layer(NULL, 3, 4, 3, true, &(th_conv_config){.groups = 2}), "groups");
  refused(th_batch_norm_layer(0, 0, 0), "batch_norm_layer: channels");
  refused(th_layer_norm_layer(TH_SHAPE(-1), 0), "-1");
  refused(th_embedding_layer(NULL, 0, 3), "embedding_layer: rows");
  refused(th_dropout_layer(NULL, 1.5), "dropout_layer: p 1.5");
  refused(th_attention_layer(NULL, 10, 3, NULL), "attention_layer: width 10");
  refused(th_attention_layer(NULL, 4, 2, &(th_attention_config){.dropout = -0.1}), "dropout -0.1");
  refused(th_activation_layer("nothing", NULL), "activation_layer: fn");
  refused(th_max_pool_layer(NULL), "max_pool_layer: config");
  refused(th_sequential(NULL, 0), "sequential: needs");
  refused(th_sequential(TH_LAYERS(th_flatten_layer(), th_linear_layer(NULL, 0, 1, true))),
          "linear_layer: inputs");
  th_layer *flatten = th_flatten_layer(), *attention = th_attention_layer(NULL, 4, 2, NULL);
  th_array *x = scalar(1);
  cr_assert(zero(ptr, th_layer_forward(flatten, x)));
  cr_assert(strstr(th_last_error(), "flatten") != NULL);
  cr_assert(zero(ptr, th_layer_forward(attention, x)));
  cr_assert(strstr(th_last_error(), "attention") != NULL);
  cr_assert(zero(ptr, th_attention_forward(flatten, x, NULL)));
  cr_assert(strstr(th_last_error(), "another kind") != NULL, "%s", th_last_error());
  cr_assert(zero(ptr, th_attention_forward(attention, NULL, NULL)));
  th_layer_release(flatten);
  th_layer_release(attention);
  th_release(x);
}
