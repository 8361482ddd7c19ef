/* Owns the layers there are. Each is a maker and a forward function in public operators. */
#include <math.h>
#include <stdio.h>

#include "engine/base/error.h"
#include "layers/layer.h"
#include "ops/compose.h"
#include "thrum/ops.h"

/* --- making --- */

/* Shared by all layers with a weight: adds it, and a bias unless that is NULL and not wanted. Gives l, or NULL when something is missing. */
static th_layer *with(th_layer *l, th_array *weight, bool has_bias, th_array *bias) {
  th_status status = l == NULL ? th_last_status() : th_layer_add_parameter(l, "weight", weight);
  if (l == NULL) th_release(weight);
  if (status == TH_OK && has_bias)
    status = th_layer_add_parameter(l, "bias", bias);
  else
    th_release(bias);
  if (status == TH_OK) return l;
  th_layer_release(l);
  return NULL;
}

static bool positive(const char *who, const char *what, int64_t value) {
  if (value >= 1) return true;
  th__fail(TH_EINVAL, "%s: %s is %lld, below 1", who, what, (long long)value);
  return false;
}

static th_array *uniform(th_generator *g, const int64_t *shape, int ndim, double bound) {
  return th_uniform(g, shape, ndim, -bound, bound, TH_F32, th_cpu(0));
}
static th_array *all(double value, const int64_t *shape, int ndim) {
  return th_full(shape, ndim, value, TH_F32, th_cpu(0));
}

/* --- linear --- */

static th_array *run_linear(th_layer *l, const th_array *x, void *data) {
  return th_linear(x, th_layer_array(l, 0), th_layer_array(l, 1));
}

static const th_layer_type linear = {sizeof(th_layer_type), "linear", run_linear, NULL};

th_layer *th_linear_layer(th_generator *g, int64_t inputs, int64_t outputs, bool bias) {
  if (!positive("linear_layer", "inputs", inputs)) return NULL;
  if (!positive("linear_layer", "outputs", outputs)) return NULL;
  double bound = 1 / sqrt((double)inputs);
  th_array *weight = uniform(g, TH_SHAPE(inputs, outputs), bound);
  return with(th_layer_new(&linear, NULL, 0), weight, bias,
              bias ? uniform(g, TH_SHAPE(outputs), bound) : NULL);
}

/* --- conv2d --- */

static th_array *run_conv2d(th_layer *l, const th_array *x, void *data) {
  return th_conv2d(x, th_layer_array(l, 0), th_layer_array(l, 1), data);
}

static const th_layer_type conv2d = {sizeof(th_layer_type), "conv2d", run_conv2d, NULL};

th_layer *th_conv2d_layer(th_generator *g, int64_t inputs, int64_t outputs, int64_t kernel,
                          bool bias, const th_conv_config *config) {
  const th_conv_config own = config != NULL ? *config : (th_conv_config){.groups = 0};
  int64_t groups = own.groups == 0 ? 1 : own.groups;
  if (!positive("conv2d_layer", "inputs", inputs)) return NULL;
  if (!positive("conv2d_layer", "outputs", outputs)) return NULL;
  if (!positive("conv2d_layer", "kernel", kernel)) return NULL;
  if (!positive("conv2d_layer", "groups", groups)) return NULL;
  if (inputs % groups != 0 || outputs % groups != 0) {
    th__fail(TH_EINVAL, "conv2d_layer: %lld inputs, %lld outputs: not multiples of %lld groups",
             (long long)inputs, (long long)outputs, (long long)groups);
    return NULL;
  }
  double bound = 1 / sqrt((double)(inputs / groups) * (double)kernel * (double)kernel);
  th_array *weight = uniform(g, TH_SHAPE(outputs, inputs / groups, kernel, kernel), bound);
  return with(th_layer_new(&conv2d, &own, sizeof own), weight, bias,
              bias ? uniform(g, TH_SHAPE(outputs), bound) : NULL);
}

/* --- norms --- */

typedef struct norm_settings {
  int n_dims;
  double momentum, eps;
} norm_settings;

static th_array *run_batch_norm(th_layer *l, const th_array *x, void *data) {
  const norm_settings *s = data;
  return th_batch_norm(x, th_layer_array(l, 2), th_layer_array(l, 3), th_layer_array(l, 0),
                       th_layer_array(l, 1), th_layer_training(l), s->momentum, s->eps);
}

static const th_layer_type batch_norm = {sizeof(th_layer_type), "batch_norm", run_batch_norm, NULL};

th_layer *th_batch_norm_layer(int64_t channels, double momentum, double eps) {
  if (!positive("batch_norm_layer", "channels", channels)) return NULL;
  norm_settings s = {0, momentum != 0 ? momentum : 0.1, eps != 0 ? eps : 1e-5};
  th_layer *l = with(th_layer_new(&batch_norm, &s, sizeof s), all(1, TH_SHAPE(channels)), true,
                     all(0, TH_SHAPE(channels)));
  if (l == NULL) return NULL;
  if (th_layer_add_buffer(l, "running_mean", all(0, TH_SHAPE(channels))) == TH_OK &&
      th_layer_add_buffer(l, "running_var", all(1, TH_SHAPE(channels))) == TH_OK)
    return l;
  th_layer_release(l);
  return NULL;
}

static th_array *run_layer_norm(th_layer *l, const th_array *x, void *data) {
  const norm_settings *s = data;
  return th_layer_norm(x, s->n_dims, th_layer_array(l, 0), th_layer_array(l, 1), s->eps);
}

static const th_layer_type layer_norm = {sizeof(th_layer_type), "layer_norm", run_layer_norm, NULL};

th_layer *th_layer_norm_layer(const int64_t *shape, int ndim, double eps) {
  norm_settings s = {ndim, 0, eps != 0 ? eps : 1e-5};
  return with(th_layer_new(&layer_norm, &s, sizeof s), all(1, shape, ndim), true,
              all(0, shape, ndim));
}

/* --- embedding, dropout --- */

static th_array *run_embedding(th_layer *l, const th_array *x, void *data) {
  return th_embedding(th_layer_array(l, 0), x);
}

static const th_layer_type embedding = {sizeof(th_layer_type), "embedding", run_embedding, NULL};

th_layer *th_embedding_layer(th_generator *g, int64_t rows, int64_t width) {
  if (!positive("embedding_layer", "rows", rows)) return NULL;
  if (!positive("embedding_layer", "width", width)) return NULL;
  th_array *weight = th_normal(g, TH_SHAPE(rows, width), 0, 1, TH_F32, th_cpu(0));
  return with(th_layer_new(&embedding, NULL, 0), weight, false, NULL);
}

typedef struct dropout_settings {
  th_generator *g; /* borrowed */
  double p;
} dropout_settings;

static th_array *run_dropout(th_layer *l, const th_array *x, void *data) {
  const dropout_settings *s = data;
  return th_dropout(s->g, x, s->p, th_layer_training(l));
}

static const th_layer_type dropout = {sizeof(th_layer_type), "dropout", run_dropout, NULL};

th_layer *th_dropout_layer(th_generator *g, double p) {
  if (!(p >= 0 && p <= 1)) {
    th__fail(TH_EINVAL, "dropout_layer: p %g must be in [0, 1]", p);
    return NULL;
  }
  dropout_settings s = {g, p};
  return th_layer_new(&dropout, &s, sizeof s);
}

/* --- attention --- */

typedef struct attention_settings {
  int64_t heads;
  th_attention_config config;
  th_generator *g; /* borrowed */
} attention_settings;

/* (..., l, width) -> (n, l, width): heads are batches of their own. */
static th_array *attend(th_layer *l, const th_array *x, const th_array *mask,
                        const attention_settings *s) {
  int ndim = th_array_ndim(x);
  if (ndim < 2) {
    th__fail(TH_ESHAPE, "attention: x has %d dimensions, (..., length, width) is wanted", ndim);
    return NULL;
  }
  th_array *all_three = th_layer_forward(th_layer_child(l, 0), x);
  if (all_three == NULL) return NULL;
  int64_t n = 1, length = th_array_shape(x)[ndim - 2], width = th_array_shape(x)[ndim - 1];
  for (int d = 0; d < ndim - 2; d++) n *= th_array_shape(x)[d];
  th_array *split =
      th_reshape(all_three, TH_SHAPE(n, length, 3, s->heads, width / s->heads)); /* n l 3 h e */
  th_array *parts = th_permute_dims(split, (const int[]){2, 0, 3, 1, 4}, 5);     /* 3 n h l e */
  double p = th_layer_training(l) ? s->config.dropout : 0;
  th_array *mixed = th_sdpa_dropout(s->g, th_slice(parts, "0"), th_slice(parts, "1"),
                                    th_slice(parts, "2"), mask, s->config.causal, p);
  th_array *rows = th_permute_dims(mixed, (const int[]){0, 2, 1, 3}, 4); /* n l h e */
  return th_layer_forward(th_layer_child(l, 1), th_reshape(rows, th_array_shape(x), ndim));
}

static th_array *run_attention(th_layer *l, const th_array *x, void *data) {
  return attend(l, x, NULL, data);
}

static const th_layer_type attention = {sizeof(th_layer_type), "attention", run_attention, NULL};

th_array *th_attention_forward(th_layer *l, const th_array *x, const th_array *mask) {
  if (l == NULL || l->type != &attention) {
    th__fail(TH_EINVAL, "attention_forward: %s",
             l == NULL ? "NULL layer" : "another kind of layer");
    return NULL;
  }
  if (x == NULL) return (void)th__array_null("attention_forward"), NULL;
  th__composing c = th__compose();
  return th__composed(c, attend(l, x, mask, l->data));
}

/* A linear layer whose bias starts at 0; xavier: and whose weight is Xavier uniform. */
static th_layer *projection(th_generator *g, int64_t inputs, int64_t outputs, bool xavier) {
  th_layer *l = th_linear_layer(g, inputs, outputs, true);
  if (l == NULL) return NULL;
  bool recording = th_grad_mode(false);
  th_status status = th_fill(th_layer_array(l, 1), 0);
  if (status == TH_OK && xavier) status = th_init_xavier_uniform(g, th_layer_array(l, 0), 1);
  th_grad_mode(recording);
  if (status == TH_OK) return l;
  th_layer_release(l);
  return NULL;
}

th_layer *th_attention_layer(th_generator *g, int64_t width, int64_t heads,
                             const th_attention_config *config) {
  attention_settings s = {.heads = heads, .g = g};
  if (config != NULL) s.config = *config;
  if (!positive("attention_layer", "width", width)) return NULL;
  if (!positive("attention_layer", "heads", heads)) return NULL;
  if (width % heads != 0) {
    th__fail(TH_EINVAL, "attention_layer: width %lld is not a multiple of %lld heads",
             (long long)width, (long long)heads);
    return NULL;
  }
  if (!(s.config.dropout >= 0 && s.config.dropout <= 1)) {
    th__fail(TH_EINVAL, "attention_layer: dropout %g must be in [0, 1]", s.config.dropout);
    return NULL;
  }
  th_layer *l = th_layer_new(&attention, &s, sizeof s);
  if (l != NULL && th_layer_add(l, "in_proj", projection(g, width, 3 * width, true)) == TH_OK &&
      th_layer_add(l, "out_proj", projection(g, width, width, false)) == TH_OK)
    return l;
  th_layer_release(l);
  return NULL;
}

/* --- without arrays --- */

typedef struct activation_settings {
  th_array *(*fn)(const th_array *x);
} activation_settings;

static th_array *run_activation(th_layer *l, const th_array *x, void *data) {
  return ((const activation_settings *)data)->fn(x);
}

static const th_layer_type activation = {sizeof(th_layer_type), "activation", run_activation, NULL};

th_layer *th_activation_layer(const char *name, th_array *(*fn)(const th_array *x)) {
  if (fn == NULL || name == NULL) {
    th__fail(TH_EINVAL, "activation_layer: %s is NULL", fn == NULL ? "fn" : "name");
    return NULL;
  }
  activation_settings s = {fn};
  th_layer *l = th_layer_new(&activation, &s, sizeof s);
  if (l != NULL) snprintf(l->title, sizeof l->title, "%s", name);
  return l;
}

static th_array *run_flatten(th_layer *l, const th_array *x, void *data) {
  if (th_array_ndim(x) < 1) {
    th__fail(TH_ESHAPE, "flatten: x has no dimensions");
    return NULL;
  }
  int64_t rows = th_array_shape(x)[0], size = th_array_size(x);
  int64_t width = 1;
  for (int i = 1; size == 0 && i < th_array_ndim(x); i++) width *= th_array_shape(x)[i];
  if (size > 0) width = size / rows;
  return th_reshape((th_array *)x, TH_SHAPE(rows, width)); /* a view */
}

static const th_layer_type flatten = {sizeof(th_layer_type), "flatten", run_flatten, NULL};

th_layer *th_flatten_layer(void) { return th_layer_new(&flatten, NULL, 0); }

static th_array *run_max_pool(th_layer *l, const th_array *x, void *data) {
  return th_max_pool2d(x, data);
}

static const th_layer_type max_pool = {sizeof(th_layer_type), "max_pool", run_max_pool, NULL};

th_layer *th_max_pool_layer(const th_pool_config *config) {
  if (config == NULL) {
    th__fail(TH_EINVAL, "max_pool_layer: config is NULL");
    return NULL;
  }
  return th_layer_new(&max_pool, config, sizeof *config);
}

/* --- sequential --- */

static th_array *run_sequential(th_layer *l, const th_array *x, void *data) {
  th_array *y = th_layer_forward(th_layer_child(l, 0), x);
  for (int i = 1; i < l->n_children && y != NULL; i++) {
    th_array *next = th_layer_forward(th_layer_child(l, i), y);
    th_release(y); /* at once, not with the scope: without a tape nobody needs it */
    y = next;
  }
  return y;
}

static const th_layer_type sequential = {sizeof(th_layer_type), "sequential", run_sequential, NULL};

th_layer *th_sequential(th_layer *const *layers, int n) {
  th_status status = TH_OK;
  if (n < 1 || layers == NULL) return (void)th__fail(TH_EINVAL, "sequential: needs a layer"), NULL;
  for (int i = 0; i < n && status == TH_OK; i++)
    if (layers[i] == NULL)
      status = th_last_status() != TH_OK ? th_last_status()
                                         : th__fail(TH_EINVAL, "sequential: layer %d is NULL", i);
  th_layer *l = status == TH_OK ? th_layer_new(&sequential, NULL, 0) : NULL;
  for (int i = 0; i < n; i++) {
    char name[12];
    snprintf(name, sizeof name, "%d", i);
    if (l == NULL || status != TH_OK)
      th_layer_release(layers[i]);
    else
      status = th_layer_add(l, name, layers[i]);
  }
  if (l != NULL && status == TH_OK) return l;
  th_layer_release(l);
  return NULL;
}
