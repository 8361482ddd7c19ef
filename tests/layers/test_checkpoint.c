/* Checkpoints: a training that was resumed has the bits of one that was not interrupted; files that do not fit change nothing. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "support/arrays.h"
#include "support/files.h"
#include "support/tasks.h"

static char path[64], older[80];

static void make_path(void) {
  cr_assert(scratch_file(path, "", 0));
  snprintf(older, sizeof older, "%s.1", path);
}

static void remove_path(void) {
  unlink(path);
  unlink(older);
  stop_engine();
}

TestSuite(checkpoint, .init = make_path, .fini = remove_path, .timeout = 120);

enum { ROWS = 90, INPUTS = 6, CLASSES = 3 };
enum { SGD, ADAM, RMSPROP, OPTIMIZERS };

/* A small training: layers with dropout and running figures, a loader that shuffles and adds noise, an average of its own. */
typedef struct training {
  th_generator *g;
  th_layer *model;
  th_optimizer *optimizer;
  th_scaler *scaler;
  th_loader *loader;
  th_array *average, *last; /* of the loss */
  int64_t steps;
  th_checkpoint parts;
  th_generator *generators[2];
  const char *names[1];
  th_counter counters[1];
} training;

static th_status add_noise(th_array **batch, int n, th_generator *g, void *user) {
  th_array *noise = th_normal(g, th_array_shape(batch[0]), 2, 0, 0.1, TH_F32, th_cpu(0));
  th_status status = th_add_inplace(batch[0], noise);
  th_release(noise);
  return status;
}

static th_loader *make_loader(int prefetch) {
  float x[ROWS * INPUTS];
  int64_t labels[ROWS];
  for (int i = 0; i < ROWS * INPUTS; i++) x[i] = (float)((i * 37 % 101) - 50) / 50;
  for (int i = 0; i < ROWS; i++) labels[i] = i * i % CLASSES;
  th_array *inputs = th_from_host(x, TH_SHAPE(ROWS, INPUTS), TH_F32, th_cpu(0));
  th_array *targets = th_from_host(labels, TH_SHAPE(ROWS), TH_I64, th_cpu(0));
  th_loader *l = th_loader_new(TH_ARRAYS(inputs, targets), &(th_loader_options){
                                                               .batch = 16,
                                                               .shuffle = true,
                                                               .seed = 5,
                                                               .repeat = true,
                                                               .prefetch = prefetch,
                                                               .transform = add_noise,
                                                           });
  th_release(inputs);
  th_release(targets);
  return l;
}

static th_optimizer *make_optimizer(int kind, th_array **leaves, int n, double lr) {
  if (kind == SGD) return th_sgd(leaves, n, lr, 0.9, 0.01, true);
  if (kind == ADAM) return th_adamw(leaves, n, &(th_adam_config){.lr = lr});
  return th_rmsprop(leaves, n, &(th_rmsprop_config){.lr = lr, .momentum = 0.5});
}

static void training_begin(training *t, int kind, uint64_t seed, int prefetch) {
  *t = (training){.g = th_generator_new(seed)};
  t->model =
      th_sequential(TH_LAYERS(th_linear_layer(t->g, INPUTS, 8, true), th_batch_norm_layer(8, 0, 0),
                              th_activation_layer("tanh", th_tanh), th_dropout_layer(NULL, 0.2),
                              th_linear_layer(t->g, 8, CLASSES, true)));
  th_array *leaves[8];
  int n = th_layer_parameters(t->model, leaves, 8);
  cr_assert(eq(int, n, 6));
  t->optimizer = make_optimizer(kind, leaves, n, 0.01 * (double)(seed % 7 + 1));
  t->scaler = th_scaler_new(&(th_scaler_config){.scale = 4, .interval = 3}, th_cpu(0));
  t->loader = make_loader(prefetch);
  t->average = th_zeros(TH_SCALAR, TH_F32, th_cpu(0));
  t->generators[0] = t->g; /* and the default one */
  t->names[0] = "average";
  t->counters[0] = (th_counter){"steps", &t->steps};
  t->parts = (th_checkpoint){.model = t->model,
                             .arrays = &t->average,
                             .names = t->names,
                             .n_arrays = 1,
                             .optimizer = t->optimizer,
                             .scaler = t->scaler,
                             .loader = t->loader,
                             .generators = t->generators,
                             .n_generators = 2,
                             .counters = t->counters,
                             .n_counters = 1};
}

static void training_end(training *t) {
  th_release(t->last);
  th_release(t->average);
  th_loader_release(t->loader);
  th_scaler_release(t->scaler);
  th_optimizer_release(t->optimizer);
  th_layer_release(t->model);
  th_generator_release(t->g);
}

static void step(training *t) {
  th_scope scope = th_scope_begin();
  th_array *batch[2];
  cr_assert(th_loader_next(t->loader, batch) > 0, "%s", th_last_error());
  th_array *jitter = th_uniform(t->g, TH_SCALAR, 0.9, 1.1, TH_F32, th_cpu(0));
  th_array *y = th_multiply(th_layer_forward(t->model, batch[0]), jitter);
  th_array *loss = th_cross_entropy(y, batch[1]);
  cr_assert(th_backward(th_scaler_scale(t->scaler, loss), 0) == TH_OK, "%s", th_last_error());
  cr_assert(th_scaler_step(t->scaler, t->optimizer) == TH_OK, "%s", th_last_error());
  cr_assert(eq(int, th_scaler_update(t->scaler), TH_OK));
  th_optimizer_zero_grad(t->optimizer);
  th_optimizer_set_lr(t->optimizer, 0.97 * th_optimizer_lr(t->optimizer));
  th_release(t->last);
  t->last = th_keep(th_detach(loss));
  th_multiply_scalar_inplace(t->average, 0.9);
  cr_assert(eq(int, th_add_inplace(t->average, t->last), TH_OK));
  t->steps++;
  th_scope_end(scope);
}

/* Whether two trainings are the same to the last bit. */
static void expect_same(const training *a, const training *b, const char *what) {
  char name[64];
  for (int i = -2; i < th_layer_states(a->model); i++) {
    float x[64], y[64];
    const th_array *p = i == -2   ? a->last
                        : i == -1 ? a->average
                                  : th_layer_state(a->model, i, name, sizeof name);
    const th_array *q = i == -2   ? b->last
                        : i == -1 ? b->average
                                  : th_layer_state(b->model, i, NULL, 0);
    size_t bytes = (size_t)th_array_size(p) * sizeof(float);
    cr_assert(th_read(p, x, bytes) == TH_OK && th_read(q, y, bytes) == TH_OK);
    cr_assert(memcmp(x, y, bytes) == 0, "%s: %s differs", what, i < 0 ? "the loss" : name);
  }
  cr_assert(eq(i64, a->steps, b->steps));
  cr_assert(eq(i64, th_optimizer_steps(a->optimizer), th_optimizer_steps(b->optimizer)));
}

Test(checkpoint, resumed_training_has_the_bits_of_an_uninterrupted_one) {
  static const char *const kinds[] = {"sgd", "adamw", "rmsprop"};
  for (int kind = 0; kind < OPTIMIZERS; kind++) {
    training whole, first, second;
    th_seed(11);
    training_begin(&whole, kind, 1, 2);
    for (int i = 0; i < 10; i++) step(&whole);
    th_seed(11);
    training_begin(&first, kind, 1, TH_NO_PREFETCH);
    for (int i = 0; i < 5; i++) step(&first);
    th_array *saved = th_checkpoint_save_async(&first.parts, path, 1);
    cr_assert(saved != NULL, "%s", th_last_error());
    for (int i = 0; i < 5; i++) step(&first); /* goes on at once */
    expect_same(&whole, &first, "saving");
    cr_assert(th_wait(saved) == TH_OK, "%s", th_last_error());
    th_seed(99);
    training_begin(&second, kind, 2, 7);
    for (int i = 0; i < 3; i++) step(&second);
    cr_assert(th_checkpoint_load(&second.parts, path) == TH_OK, "%s", th_last_error());
    cr_assert(eq(i64, second.steps, 5));
    for (int i = 0; i < 5; i++) step(&second);
    expect_same(&whole, &second, kinds[kind]);
    th_release(saved);
    training_end(&whole);
    training_end(&first);
    training_end(&second);
  }
}

/* Features, row 71. */
Test(checkpoint, row_71_parameters_are_saved_and_loaded_by_name) {
  training t;
  training_begin(&t, SGD, 1, 2);
  step(&t);
  cr_assert(eq(int, th_checkpoint_save(&t.parts, path, 1), TH_OK));
  th_file *f = th_file_open(path);
  cr_assert(eq(int, th_file_count(f), 8 + 1 + 6 + 2));
  float here[64], there[64];
  for (int i = 0; i < th_layer_states(t.model); i++) {
    char name[64];
    th_array *a = th_layer_state(t.model, i, name, sizeof name);
    th_array *b = th_file_array(f, name, th_cpu(0));
    cr_assert(b != NULL, "%s", th_last_error());
    size_t bytes = (size_t)th_array_size(a) * sizeof(float);
    cr_assert(th_read(a, here, bytes) == TH_OK && th_read(b, there, bytes) == TH_OK);
    cr_assert(zero(memcmp(here, there, bytes)));
    th_release(b);
  }
  th_array *velocity = th_file_array(f, "optimizer.velocity.0", th_cpu(0));
  cr_assert(velocity != NULL && th_array_ndim(velocity) == 2, "%s", th_last_error());
  cr_assert(eq(str, (char *)th_file_metadata(f, "counter.steps"), "1"));
  cr_assert(eq(str, (char *)th_file_metadata(f, "loader"), "0 1"));
  th_release(velocity);
  th_file_release(f);
  training_end(&t);
}

Test(checkpoint, keeps_versions) {
  int64_t n = 0;
  th_counter counter = {"n", &n};
  th_checkpoint parts = {.counters = &counter, .n_counters = 1};
  for (n = -1; n < 2; n++) cr_assert(eq(int, th_checkpoint_save(&parts, path, 2), TH_OK));
  cr_assert(eq(int, th_checkpoint_load(&parts, older), TH_OK));
  cr_assert(eq(i64, n, 0));
  cr_assert(eq(int, th_checkpoint_load(&parts, path), TH_OK));
  cr_assert(eq(i64, n, 1));
}

Test(checkpoint, a_failed_save_keeps_the_file) {
  th_array *a = th_full(TH_SHAPE(3), 4, TH_F32, th_cpu(0));
  const char *names[] = {"a"};
  th_checkpoint parts = {.arrays = &a, .names = names, .n_arrays = 1};
  cr_assert(eq(int, th_checkpoint_save(&parts, path, 2), TH_OK));
  cr_assert(eq(int, push_fail("step", "a step failed", NULL, th_array_var(a)), TH_OK));
  cr_assert(eq(int, th_checkpoint_save(&parts, path, 2), TH_EKERNEL));
  cr_assert(strstr(th_last_error(), "a step failed") != NULL, "%s", th_last_error());
  cr_assert(eq(int, th_checkpoint_load(&parts, path), TH_OK));
  cr_assert(eq(dbl, distance_to(a, 4, 4, 4), 0), "loading overwrites what failed");
  th_release(a);
}

/* Loading c fails in this way. */
static void expect_refused(const th_checkpoint *c, th_status status, const char *text) {
  cr_assert(eq(int, th_checkpoint_load(c, path), status), "%s: %s", text, th_last_error());
  cr_assert(strstr(th_last_error(), text) != NULL, "message '%s' has no '%s'", th_last_error(),
            text);
}

/* Parts that a checkpoint of t's model, average, first generator and counter alone does not have, one after the other. */
static void ask_for_more(training *t, th_checkpoint *more) {
  int64_t extra = 7;
  th_counter counters[] = {t->counters[0], {"extra", &extra}};
  expect_refused(more, TH_EIO, "there is no optimizer");
  more->optimizer = NULL;
  expect_refused(more, TH_EIO, "there is no loader");
  more->loader = NULL;
  expect_refused(more, TH_EIO, "there is no generator.1");
  more->n_generators = 1;
  more->counters = counters;
  more->n_counters = 2;
  expect_refused(more, TH_EIO, "there is no counter.extra");
  cr_assert(eq(i64, extra, 7));
  more->counters = t->counters;
  more->n_counters = 1;
  expect_refused(more, TH_EIO, "there is no scaler.");
  more->scaler = NULL;
  const char *names[] = {"nothing"};
  more->names = names;
  expect_refused(more, TH_EIO, "there is no nothing");
  more->names = t->names;
}

Test(checkpoint, files_that_do_not_fit_change_nothing) {
  training t, other;
  training_begin(&t, SGD, 1, 2);
  training_begin(&other, SGD, 2, 2);
  for (int i = 0; i < 3; i++) step(&t);
  step(&other);
  training before = other;
  th_checkpoint less = t.parts, more = other.parts;
  less.optimizer = NULL;
  less.scaler = NULL;
  less.loader = NULL;
  less.n_generators = 1;
  cr_assert(eq(int, th_checkpoint_save(&less, path, 1), TH_OK));
  ask_for_more(&other, &more);
  th_array *longer = th_zeros(TH_SHAPE(2), TH_F32, th_cpu(0)),
           *wider = th_zeros(TH_SCALAR, TH_F64, th_cpu(0));
  more.arrays = &longer;
  expect_refused(&more, TH_ESHAPE, "average is () of f32, the training has (2,) of f32");
  more.arrays = &wider;
  expect_refused(&more, TH_EDTYPE, "average is () of f32, the training has () of f64");
  cr_assert(eq(int, th_checkpoint_load(&more, "/nowhere/at/all"), TH_EIO));
  expect_same(&before, &other, "nothing changed");
  more.arrays = other.parts.arrays;
  cr_assert(eq(int, th_checkpoint_load(&more, path), TH_OK), "what is there is enough");
  cr_assert(eq(i64, other.steps, 3));
  th_release(longer);
  th_release(wider);
  training_end(&t);
  training_end(&other);
}

/* A broadcast view cannot be written, which is known before anything else is. */
Test(checkpoint, a_broadcast_view_is_refused_before_anything_changes) {
  th_array *list[] = {th_full(TH_SHAPE(2), 4, TH_F32, th_cpu(0)),
                      th_full(TH_SHAPE(3), 5, TH_F32, th_cpu(0))};
  const char *names[] = {"first", "second"};
  int64_t n = 1;
  th_counter counter = {"n", &n};
  th_checkpoint parts = {
      .arrays = list, .names = names, .n_arrays = 2, .counters = &counter, .n_counters = 1};
  cr_assert(eq(int, th_checkpoint_save(&parts, path, 1), TH_OK));
  th_array *first = th_full(TH_SHAPE(2), 7, TH_F32, th_cpu(0)), *one = scalar(8);
  th_array *single = th_astype(one, TH_F32), *view = th_broadcast_to(single, TH_SHAPE(3));
  parts.arrays = (th_array *[]){first, view};
  n = 2;
  expect_refused(&parts, TH_EINVAL, "checkpoint_load: second is a broadcast view");
  cr_assert(eq(i64, n, 2));
  cr_assert(eq(dbl, distance_to(first, 7, 7), 0));
  cr_assert(eq(int, th_checkpoint_save(&parts, path, 1), TH_EINVAL), "it would be of no use");
  parts.arrays = list;
  cr_assert(eq(int, th_checkpoint_load(&parts, path), TH_OK));
  cr_assert(eq(i64, n, 1));
  th_array *all[] = {list[0], list[1], first, one, single, view};
  for (int i = 0; i < 6; i++) th_release(all[i]);
}

Test(checkpoint, numbers_that_are_none) {
  static const char *const bad[] = {"", "x", " 1", "1 ", "+1", "0x1", "-", "1.5"};
  int64_t n = 3;
  th_counter counter = {"n", &n};
  th_checkpoint parts = {.counters = &counter, .n_counters = 1};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *metadata[] = {"counter.n", bad[i], NULL};
    cr_assert(eq(int, th_save(NULL, NULL, 0, metadata, path), TH_OK));
    expect_refused(&parts, TH_EIO, "is no counter.n");
  }
  cr_assert(eq(i64, n, 3));
}

Test(checkpoint, refusals) {
  th_array *a = th_zeros(TH_SHAPE(1), TH_F32, th_cpu(0));
  const char *names[] = {"weight"};
  th_layer *layer = th_linear_layer(NULL, 2, 3, false);
  th_checkpoint parts = {.model = layer, .arrays = &a, .names = names, .n_arrays = 1};
  cr_assert(eq(int, th_checkpoint_save(&parts, path, 1), TH_EINVAL));
  cr_assert(strstr(th_last_error(), "the name 'weight' is given twice") != NULL);
  parts.names = &(const char *){NULL};
  cr_assert(eq(int, th_checkpoint_save(&parts, path, 1), TH_EINVAL));
  th_layer_release(layer);
  cr_assert(eq(int, th_checkpoint_save(NULL, path, 1), TH_EINVAL));
  cr_assert(eq(int, th_checkpoint_save(&parts, NULL, 1), TH_EINVAL));
  cr_assert(zero(ptr, th_checkpoint_save_async(NULL, path, 1)));
  cr_assert(eq(int, th_checkpoint_load(NULL, path), TH_EINVAL));
  th_checkpoint lists = {.n_arrays = 1}, negative = {.n_counters = -1};
  th_counter nameless = {NULL, NULL};
  th_checkpoint counted = {.counters = &nameless, .n_counters = 1};
  cr_assert(eq(int, th_checkpoint_save(&lists, path, 1), TH_EINVAL));
  cr_assert(eq(int, th_checkpoint_save(&negative, path, 1), TH_EINVAL));
  cr_assert(eq(int, th_checkpoint_save(&counted, path, 1), TH_EINVAL));
  th_release(a);
}
