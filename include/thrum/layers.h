/**
 * @file layers.h
 * Layers: arrays with names and a function over them. Helpers over operators; whatever a layer does can be written without.
 *
 * A layer owns its arrays and its children. Makers return a layer to be released or given to another layer, or NULL with the error
 * set. A layer is made on cpu:0 in f32, in training mode. Calls of th_layer_forward() only submit, and several threads may make them
 * at once; everything that changes a layer needs it alone.
 */
#ifndef THRUM_LAYERS_H
#define THRUM_LAYERS_H

#include <stdio.h>
#include <thrum/autograd.h>
#include <thrum/nn.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct th_layer th_layer; /**< A layer. */
/** TH_LAYERS(a, b) gives the two arguments (th_layer *const *layers, int n). */
#ifdef __cplusplus
#define TH_LAYERS(...)                                                                             \
  (std::initializer_list<th_layer *>{__VA_ARGS__}.begin()),                                        \
      static_cast<int>(std::initializer_list<th_layer *>{__VA_ARGS__}.size())
#else
#define TH_LAYERS(...)                                                                             \
  (th_layer *[]){__VA_ARGS__}, (int)(sizeof((th_layer *[]){__VA_ARGS__}) / sizeof(th_layer *))
#endif

/* Layers there are. Weights are drawn from g (NULL: the default generator) as PyTorch does it, "uniform" within 1 / sqrt(fan in).
 * TH_EINVAL: sizes below 1. */
/** th_linear(): weight (inputs, outputs) and, if asked for, bias (outputs), both uniform. */
TH_API th_layer *th_linear_layer(th_generator *g, int64_t inputs, int64_t outputs, bool bias);
/** th_conv2d() with a square kernel: weight (outputs, inputs / groups, kernel, kernel) and bias (outputs), both uniform. */
TH_API th_layer *th_conv2d_layer(th_generator *g, int64_t inputs, int64_t outputs, int64_t kernel,
                                 bool bias, const th_conv_config *config);
/** th_batch_norm(): weight 1, bias 0, buffers running_mean 0 and running_var 1, of channels elements. momentum and eps 0 mean 0.1 and 1e-5. */
TH_API th_layer *th_batch_norm_layer(int64_t channels, double momentum, double eps);
/** th_layer_norm() over the last ndim dimensions, of this shape: weight 1, bias 0. eps 0 means 1e-5. */
TH_API th_layer *th_layer_norm_layer(const int64_t *shape, int ndim, double eps);
/** th_embedding(): weight (rows, width), standard normal. Its input are indices. */
TH_API th_layer *th_embedding_layer(th_generator *g, int64_t rows, int64_t width);
/** th_dropout() in training; g is borrowed and must outlive the layer. */
TH_API th_layer *th_dropout_layer(th_generator *g, double p);
/** Settings of th_attention_layer(); {0} or NULL is the default. */
typedef struct th_attention_config {
  bool causal; /**< Place i sees places 0 to i. */
  double
      dropout; /**< In training, the probability that a weight of attention becomes 0; in [0, 1]. */
} th_attention_config;
/** Self-attention of several heads (Vaswani et al. 2017) over x (..., length, width): in_proj, a linear layer to queries, keys and
 *  values (width, 3 width), th_sdpa_dropout() per head, and out_proj, one more (width, width). in_proj.weight is Xavier uniform,
 *  biases 0. With dropout g is borrowed and must outlive the layer. As PyTorch's MultiheadAttention. */
TH_API th_layer *th_attention_layer(th_generator *g, int64_t width, int64_t heads,
                                    const th_attention_config *config);
/** th_layer_forward() of such a layer with a mask, broadcast to (n, heads, length, length), where n is the product of the dimensions
 *  of x in front of length: bool = that place is seen (PyTorch's attn_mask says the opposite), floating = added to the scores; NULL =
 *  none. Of places that see nothing come NaN. +1. NULL: TH_EINVAL, l is no attention layer, or what the operators report. */
TH_API th_array *th_attention_forward(th_layer *l, const th_array *x, const th_array *mask);
/** Any operator of one array, called by this name in summaries: th_activation_layer("relu", th_relu). */
TH_API th_layer *th_activation_layer(const char *name, th_array *(*fn)(const th_array *x));
TH_API th_layer *th_flatten_layer(void); /**< (n, ...) -> (n, product of the rest). */
TH_API th_layer *th_max_pool_layer(const th_pool_config *config); /**< th_max_pool2d(). */
/** One after the other; called "0", "1" and so on. Takes over the layers, on failure too; a NULL among them fails with the error
 *  that is set, so makers can be nested. */
TH_API th_layer *th_sequential(th_layer *const *layers, int n);

/* Use. */
/** The layer's function of x, +1. NULL: what its operators report. Recorded like operators. */
TH_API th_array *th_layer_forward(th_layer *l, const th_array *x);
TH_API void th_layer_release(th_layer *l); /**< With its children. NULL is fine. */
/** Switches between training (dropout, statistics of the batch) and evaluation, children too. */
TH_API void th_layer_train(th_layer *l, bool training);
/** Moves to d and converts floating arrays to t, children too; all or nothing. Parameters become new leaves without gradient, so this
 *  comes before an optimizer is made. TH_EDTYPE: t is not floating. */
TH_API th_status th_layer_to(th_layer *l, th_dtype t, th_device d);

/* Arrays by name, children in order: "0.weight", "2.bias", "1.running_mean", as PyTorch's state_dict(). */
TH_API int th_layer_states(const th_layer *l); /**< Parameters and buffers; 0 for NULL. */
/** Array i, borrowed, with its name in name (bytes long, may be NULL). NULL: TH_EINVAL, no such array, or the name is too long. */
TH_API th_array *th_layer_state(const th_layer *l, int i, char *name, size_t bytes);
TH_API th_array *th_layer_find(
    const th_layer *l, const char *name); /**< Borrowed; NULL (no error) if there is none. */
/** Writes up to room parameters, borrowed and each once, to list, as leaves for an optimizer. Returns how many there are. */
TH_API int th_layer_parameters(const th_layer *l, th_array **list, int room);
TH_API int64_t th_layer_count(const th_layer *l); /**< Elements of all parameters. */
/** Prints a table of layers, shapes of their results for an input of this shape and type, and elements of parameters. Runs in evaluation
 *  mode on the meta device, so nothing is computed. Errors of the layers' operators; TH_EIO. */
TH_API th_status th_layer_summary(const th_layer *l, const int64_t *shape, int ndim, th_dtype t,
                                  FILE *out);

/* Layers of your own. */
/** A kind of layer; the structure and its functions must stay. */
typedef struct th_layer_type {
  size_t size;      /**< sizeof(th_layer_type). */
  const char *name; /**< "linear": for summaries. */
  /** The result, +1 (x itself: th_retain()). What it makes on the way is released behind it; data as given to th_layer_new(). */
  th_array *(*forward)(th_layer *l, const th_array *x, void *data);
  void (*release)(void *data); /**< At the end of a layer; may be NULL. */
} th_layer_type;
/** A layer without arrays and children; data (bytes long) is copied. */
TH_API th_layer *th_layer_new(const th_layer_type *type, const void *data, size_t bytes);
/** Takes over child, on failure too. Names have 1 to 31 characters, no dot, and are not there yet (TH_EINVAL). */
TH_API th_status th_layer_add(th_layer *l, const char *name, th_layer *child);
/** Takes over a, on failure too, and makes it a leaf. */
TH_API th_status th_layer_add_parameter(th_layer *l, const char *name, th_array *a);
TH_API th_status th_layer_add_buffer(
    th_layer *l, const char *name, th_array *a); /**< The same for an array that is not trained. */
TH_API th_array *th_layer_array(const th_layer *l,
                                int i); /**< Own array i as added, borrowed; else NULL, no error. */
TH_API th_layer *th_layer_child(const th_layer *l,
                                int i); /**< Child i as added, borrowed; else NULL, no error. */
TH_API bool th_layer_training(const th_layer *l); /**< In training mode. */

/* Initialisers: fill a floating array, also a leaf, with numbers drawn from g (NULL: the default generator). Fans are inputs and
 * outputs of one element: of weights (inputs, outputs) of th_linear() these, of (o, i, ...) of convolutions i and o times the
 * product of the rest. TH_ESHAPE below 2 dimensions. */
TH_API th_status th_init_xavier_uniform(
    th_generator *g, th_array *a,
    double gain); /**< Within gain sqrt(6 / (in + out)) (Glorot and Bengio 2010). */
TH_API th_status th_init_xavier_normal(th_generator *g, th_array *a,
                                       double gain); /**< Deviation gain sqrt(2 / (in + out)). */
/** Within sqrt(6 / ((1 + slope^2) in)) (He et al. 2015); slope of leaky ReLU below 0, for ReLU 0. */
TH_API th_status th_init_he_uniform(th_generator *g, th_array *a, double slope);
TH_API th_status th_init_he_normal(th_generator *g, th_array *a,
                                   double slope); /**< Deviation sqrt(2 / ((1 + slope^2) in)). */

#ifdef __cplusplus
}
#endif
#endif
