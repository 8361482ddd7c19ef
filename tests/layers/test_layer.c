/* Trees of layers: names, lists, modes, moving, layers of one's own, summaries, scopes, refusals. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "support/arrays.h"

TestSuite(layer, .timeout = 60, .fini = stop_engine);

/* 0 linear 4 -> 3, 1 batch_norm, 2 sequential of 0 relu and 1 linear 3 -> 2 without bias. */
static th_layer *small_model(th_generator *g) {
  th_layer *inner = th_sequential(
      TH_LAYERS(th_activation_layer("relu", th_relu), th_linear_layer(g, 3, 2, false)));
  return th_sequential(
      TH_LAYERS(th_linear_layer(g, 4, 3, true), th_batch_norm_layer(3, 0, 0), inner));
}

Test(layer, arrays_have_names_in_order) {
  th_layer *l = small_model(NULL);
  const char *names[] = {"0.weight",       "0.bias",        "1.weight",  "1.bias",
                         "1.running_mean", "1.running_var", "2.1.weight"};
  cr_assert(eq(int, th_layer_states(l), 7));
  for (int i = 0; i < 7; i++) {
    char name[16], brief[8];
    th_array *a = th_layer_state(l, i, name, sizeof name);
    cr_assert(a != NULL, "%s", th_last_error());
    cr_assert(eq(str, name, (char *)names[i]));
    cr_assert(eq(ptr, a, th_layer_find(l, name)));
    cr_assert(eq(ptr, a, th_layer_state(l, i, NULL, 0)));
    bool fits = strlen(names[i]) < sizeof brief;
    cr_assert(eq(int, th_layer_state(l, i, brief, sizeof brief) != NULL, fits));
  }
  cr_assert(zero(ptr, th_layer_state(l, 7, NULL, 0)));
  cr_assert(zero(ptr, th_layer_state(l, -1, NULL, 0)));
  const char *missing[] = {"",        "weight",   "0",        "0.",
                           "0.weigh", "3.weight", "2.weight", "2.1.weight.x"};
  for (int i = 0; i < 8; i++) cr_assert(zero(ptr, th_layer_find(l, missing[i])), "%s", missing[i]);
  th_array *parameters[8] = {NULL};
  cr_assert(eq(int, th_layer_parameters(l, parameters, 8), 5));
  cr_assert(eq(ptr, parameters[4], th_layer_find(l, "2.1.weight")));
  cr_assert(eq(int, th_layer_parameters(l, NULL, 0), 5));
  parameters[2] = NULL;
  cr_assert(eq(int, th_layer_parameters(l, parameters, 2), 5));
  cr_assert(zero(ptr, parameters[2]), "no more than there is room for");
  cr_assert(eq(i64, th_layer_count(l), 4 * 3 + 3 + 6 + 6));
  th_layer_release(l);
}

static char *summary_of(const th_layer *l, const int64_t *shape, int ndim, th_status expected) {
  char *text = NULL;
  size_t bytes;
  FILE *file = open_memstream(&text, &bytes);
  cr_assert(eq(int, th_layer_summary(l, shape, ndim, TH_F32, file), expected), "%s",
            th_last_error());
  fclose(file);
  return text;
}

Test(layer, summary_is_a_table_and_changes_nothing) {
  th_layer *l = small_model(NULL);
  uint64_t version = th_array_version(th_layer_find(l, "1.running_mean"));
  char *text = summary_of(l, TH_SHAPE(32, 4), TH_OK);
  cr_assert(eq(str, text,
               "layer                        output                     parameters\n"
               "0  linear                    (32, 3)                            15\n"
               "1  batch_norm                (32, 3)                             6\n"
               "2  sequential                (32, 2)                             0\n"
               "  0  relu                    (32, 3)                             0\n"
               "  1  linear                  (32, 2)                             6\n"
               "sequential                   (32, 2)                            27\n"));
  cr_assert(eq(u64, th_array_version(th_layer_find(l, "1.running_mean")), version));
  cr_assert(th_layer_training(l));
  free(text);
  text = summary_of(l, TH_SHAPE(32, 5), TH_ESHAPE);
  cr_assert(eq(str, text, ""));
  free(text);
  cr_assert(eq(int, th_layer_summary(NULL, TH_SHAPE(1), TH_F32, stdout), TH_EINVAL));
  cr_assert(eq(int, th_layer_summary(l, TH_SHAPE(1), TH_F32, NULL), TH_EINVAL));
  th_layer_release(l);
}

Test(layer, a_summary_draws_no_random_numbers) {
  th_generator *g = th_generator_new(1), *same = th_generator_new(1);
  th_layer *l = th_sequential(TH_LAYERS(th_dropout_layer(g, 0.5)));
  char *text = summary_of(l, TH_SHAPE(4), TH_OK);
  th_array *a = th_random_bits(g, TH_SHAPE(1), th_cpu(0));
  th_array *b = th_random_bits(same, TH_SHAPE(1), th_cpu(0));
  cr_assert(eq(dbl, th_item(a), th_item(b)));
  free(text);
  th_release(a);
  th_release(b);
  th_layer_release(l);
  th_generator_release(g);
  th_generator_release(same);
}

Test(layer, training_reaches_all_children) {
  th_layer *l = small_model(NULL);
  th_layer *deep = th_layer_child(th_layer_child(l, 2), 1);
  cr_assert(th_layer_training(l) && th_layer_training(deep));
  th_layer_train(l, false);
  cr_assert(th_layer_training(l) + th_layer_training(deep) == 0);
  th_layer_train(NULL, false);
  cr_assert(not(th_layer_training(NULL)));
  th_layer_release(l);
}

Test(layer, moved_and_converted_it_computes_the_same) {
  cr_assert(eq(int, th_cpu_split(2, 1), TH_OK), "%s", th_last_error());
  th_layer *l = small_model(NULL);
  th_layer_train(l, false);
  th_array *x = th_normal(NULL, TH_SHAPE(5, 4), 0, 1, TH_F32, th_cpu(0));
  th_array *y = th_layer_forward(l, x);
  cr_assert(eq(int, th_layer_to(l, TH_F64, th_cpu(1)), TH_OK), "%s", th_last_error());
  th_array *doubles = th_astype(x, TH_F64), *there = th_copy_to(doubles, th_cpu(1));
  th_array *z = th_layer_forward(l, there), *back = th_copy_to(z, th_cpu(0));
  double expected[10];
  th_array *wide = th_astype(y, TH_F64);
  cr_assert(eq(int, th_read(wide, expected, sizeof expected), TH_OK));
  cr_assert(lt(dbl, distance(back, expected, 10), 1e-6), "%s", th_last_error());
  cr_assert(eq(int, th_array_device(z).index, 1));
  for (int i = 0; i < 7; i++) {
    th_array *a = th_layer_state(l, i, NULL, 0);
    cr_assert(eq(int, th_array_dtype(a), TH_F64));
    cr_assert(eq(int, th_array_device(a).index, 1));
    cr_assert(eq(int, th_requires_grad(a), i != 4 && i != 5), "array %d", i);
  }
  cr_assert(eq(int, th_layer_to(l, TH_I32, th_cpu(0)), TH_EDTYPE));
  cr_assert(eq(int, th_layer_to(l, TH_F32, (th_device){.kind = 77}) == TH_OK, 0));
  cr_assert(eq(int, th_array_dtype(th_layer_state(l, 0, NULL, 0)), TH_F64), "all or nothing");
  th_array *all[] = {x, y, doubles, there, z, back, wide};
  for (int i = 0; i < 7; i++) th_release(all[i]);
  th_layer_release(l);
}

/* --- layers of one's own --- */

static int released;
static void count_release(void *data) { released += *(const int *)data; }

/* x + child(x) * scale */
static th_array *run_residual(th_layer *l, const th_array *x, void *data) {
  th_array *y = th_multiply(th_layer_forward(th_layer_child(l, 0), x), th_layer_array(l, 0));
  return th_add(x, y);
}
static const th_layer_type residual = {sizeof(th_layer_type), "residual", run_residual,
                                       count_release};

static th_array *run_identity(th_layer *l, const th_array *x, void *data) {
  return th_retain((th_array *)x);
}
static const th_layer_type identity = {sizeof(th_layer_type), "identity", run_identity, NULL};

Test(layer, own_layers_have_children_arrays_and_data) {
  int data = 5;
  th_layer *l = th_layer_new(&residual, &data, sizeof data);
  cr_assert(eq(int, th_layer_add(l, "inner", th_linear_layer(NULL, 3, 3, false)), TH_OK));
  cr_assert(
      eq(int, th_layer_add_parameter(l, "scale", th_ones(TH_SCALAR, TH_F32, th_cpu(0))), TH_OK));
  th_array *x = th_normal(NULL, TH_SHAPE(2, 3), 0, 1, TH_F32, th_cpu(0));
  th_scope scope = th_scope_begin();
  th_array *y = th_layer_forward(l, x);
  th_array *z = th_subtract(y, th_add(x, th_matmul(x, th_layer_find(l, "inner.weight"))));
  cr_assert(eq(dbl, th_item(th_vector_norm(z, NULL, 0, INFINITY, false)), 0));
  cr_assert(eq(int, th_backward(th_sum(y, NULL, 0, false), 0), TH_OK), "%s", th_last_error());
  cr_assert(th_grad(th_layer_find(l, "scale")) != NULL);
  cr_assert(th_grad(th_layer_find(l, "inner.weight")) != NULL);
  th_scope_end(scope);
  char *text = summary_of(l, TH_SHAPE(2, 3), TH_OK);
  cr_assert(strstr(text, "inner  linear") != NULL, "%s", text);
  free(text);
  cr_assert(eq(int, released, 0), "a summary does not release the layer's data");
  th_layer_release(l);
  cr_assert(eq(int, released, 5));
  th_release(x);
}

Test(layer, an_identity_may_give_its_input_in_and_out_of_scopes) {
  th_layer *l =
      th_sequential(TH_LAYERS(th_layer_new(&identity, NULL, 0), th_layer_new(&identity, NULL, 0)));
  th_array *x = scalar(3), *y = th_layer_forward(l, x);
  cr_assert(eq(ptr, x, y));
  th_release(x);
  cr_assert(eq(dbl, th_item(y), 3), "a reference of its own");
  th_release(y);
  th_scope scope = th_scope_begin();
  x = scalar(4);
  y = th_keep(th_layer_forward(l, x));
  th_scope_end(scope);
  cr_assert(eq(dbl, th_item(y), 4));
  th_release(y);
  th_layer_release(l);
}

Test(layer, a_shared_array_is_one_parameter) {
  th_layer *a = th_linear_layer(NULL, 3, 3, false), *l = th_layer_new(&identity, NULL, 0);
  th_array *weight = th_retain(th_layer_find(a, "weight"));
  cr_assert(eq(int, th_layer_add(l, "first", a), TH_OK));
  cr_assert(eq(int, th_layer_add_parameter(l, "tied", weight), TH_OK));
  cr_assert(eq(int, th_layer_states(l), 2));
  cr_assert(eq(int, th_layer_parameters(l, NULL, 0), 1));
  cr_assert(eq(i64, th_layer_count(l), 9));
  cr_assert(eq(int, th_layer_to(l, TH_F64, th_cpu(0)), TH_OK));
  cr_assert(eq(ptr, th_layer_find(l, "tied"), th_layer_find(l, "first.weight")));
  th_layer_release(l);
}

static void refused(th_status status, const char *why) {
  cr_assert(eq(int, status, TH_EINVAL));
  cr_assert(strstr(th_last_error(), why) != NULL, "%s", th_last_error());
  th_clear_error();
}

Test(layer, bad_calls_are_refused) {
  th_layer *l = th_layer_new(&identity, NULL, 0);
  cr_assert(eq(int, th_layer_add(l, "a", th_flatten_layer()), TH_OK));
  refused(th_layer_add(l, "a", th_flatten_layer()), "there is a \"a\" already");
  refused(th_layer_add_buffer(l, "a", scalar(1)), "already");
  refused(th_layer_add(l, "a.b", th_flatten_layer()), "no dot");
  refused(th_layer_add(l, "", th_flatten_layer()), "layer_add: name");
  refused(th_layer_add(l, NULL, th_flatten_layer()), "layer_add: name");
  refused(th_layer_add(l, "b", NULL), "NULL child");
  refused(th_layer_add(NULL, "b", th_flatten_layer()), "NULL layer");
  refused(th_layer_add_parameter(l, "a_name_of_more_than_31_characters", scalar(1)),
          "31 characters");
  refused(th_layer_add_parameter(l, "p", NULL), "layer_add_parameter");
  refused(th_layer_to(NULL, TH_F32, th_cpu(0)), "layer_to: NULL layer");
  cr_assert(zero(ptr, th_layer_new(NULL, NULL, 0)));
  cr_assert(zero(ptr, th_layer_new(&(th_layer_type){.size = sizeof(th_layer_type)}, NULL, 0)));
  cr_assert(zero(ptr, th_layer_new(&identity, NULL, 4)));
  th_clear_error();
  cr_assert(zero(ptr, th_layer_forward(NULL, NULL)));
  cr_assert(zero(ptr, th_layer_forward(l, NULL)));
  cr_assert(zero(ptr, th_layer_array(l, 0)));
  cr_assert(zero(ptr, th_layer_child(l, 1)));
  cr_assert(zero(ptr, th_layer_find(NULL, "a")));
  cr_assert(eq(int, th_layer_states(NULL), 0));
  th_layer_release(NULL);
  th_layer_release(l);
}
