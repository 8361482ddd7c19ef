/* Owns checkpoints: which arrays and numbers they are, under which names. Arrays lie in a safetensors file as themselves, numbers in
 * its metadata as text. */
#include "thrum/checkpoint.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "ndarray/array.h"
#include "ndarray/files.h"

enum { NAME = 256 }; /* longest name of an array, with its end */

/* The arrays of a checkpoint with their names. */
typedef struct arrays {
  th_array **list; /* borrowed */
  const char **names;
  char *text; /* names that are made here */
  int n;
} arrays;

static th_status check(const th_checkpoint *c, const char *path, const char *who) {
  if (!c || !path) return th__fail(TH_EINVAL, "%s: the %s is NULL", who, c ? "path" : "checkpoint");
  if (c->n_arrays < 0 || c->n_generators < 0 || c->n_counters < 0)
    return th__fail(TH_EINVAL, "%s: a number of parts is negative", who);
  if ((c->n_arrays > 0 && (!c->arrays || !c->names)) || (c->n_generators > 0 && !c->generators) ||
      (c->n_counters > 0 && !c->counters))
    return th__fail(TH_EINVAL, "%s: a list of parts is NULL", who);
  for (int i = 0; i < c->n_arrays; i++) {
    if (!c->arrays[i]) return th__array_null(who);
    if (!c->names[i]) return th__fail(TH_EINVAL, "%s: name %d is NULL", who, i);
  }
  for (int i = 0; i < c->n_counters; i++)
    if (!c->counters[i].name || !c->counters[i].value)
      return th__fail(TH_EINVAL, "%s: counter %d has no name or no value", who, i);
  return TH_OK;
}

static void arrays_free(arrays *a) {
  th__free(a->list);
  th__free((void *)a->names);
  th__free(a->text);
}

static th_status arrays_add(arrays *a, const th_array *array, const char *name) {
  if (!array) return th_last_status();
  a->list[a->n] = (th_array *)array;
  a->names[a->n++] = name;
  return TH_OK;
}

/* Room of NAME bytes for the name of the next array, which begins with prefix. */
static char *name_room(arrays *a, const char *prefix) {
  return strcpy(a->text + (size_t)a->n * NAME, prefix);
}

/* The model's, the program's own, the optimizer's, the scaler's. */
static th_status arrays_gather(const th_checkpoint *c, arrays *a) {
  enum { OPTIMIZER = sizeof "optimizer." - 1, SCALER = sizeof "scaler." - 1 };
  int model = th_layer_states(c->model), states = th_optimizer_states(c->optimizer);
  int scales = th_scaler_states(c->scaler);
  size_t all = (size_t)model + (size_t)c->n_arrays + (size_t)states + (size_t)scales + 1;
  *a = (arrays){.list = th__alloc(all * sizeof *a->list),
                .names = th__alloc(all * sizeof *a->names),
                .text = th__alloc(all * NAME)};
  if (!a->list || !a->names || !a->text) return TH_ENOMEM;
  for (int i = 0; i < model; i++) {
    char *name = name_room(a, "");
    TH_TRY(arrays_add(a, th_layer_state(c->model, i, name, NAME), name));
  }
  for (int i = 0; i < c->n_arrays; i++) TH_TRY(arrays_add(a, c->arrays[i], c->names[i]));
  for (int i = 0; i < states; i++) {
    char *name = name_room(a, "optimizer.");
    const th_array *state = th_optimizer_state(c->optimizer, i, name + OPTIMIZER, NAME - OPTIMIZER);
    TH_TRY(arrays_add(a, state, name));
  }
  for (int i = 0; i < scales; i++) {
    char *name = name_room(a, "scaler.");
    TH_TRY(arrays_add(a, th_scaler_state(c->scaler, i, name + SCALER, NAME - SCALER), name));
  }
  return TH_OK;
}

/* Several elements of a broadcast view share memory, so it cannot be loaded; better to hear of that when saving. */
static th_status check_views(const arrays *a, const char *who) {
  for (int i = 0; i < a->n; i++)
    if (th__layout_overlaps_itself(&a->list[i]->layout))
      return th__fail(TH_EINVAL, "%s: %s is a broadcast view, several of its elements share memory",
                      who, a->names[i]);
  return TH_OK;
}

/* --- numbers --- */

/* Keys and values in turn; each has NAME bytes. */
typedef struct numbers {
  const char **list; /* ended by NULL */
  char *text;
  int n;
} numbers;

static th_status numbers_new(const th_checkpoint *c, numbers *out) {
  size_t most = 2 * ((size_t)c->n_counters + (size_t)c->n_generators + 3);
  *out =
      (numbers){.list = th__zalloc((most + 1) * sizeof *out->list), .text = th__alloc(most * NAME)};
  return out->list && out->text ? TH_OK : TH_ENOMEM;
}

static void numbers_free(numbers *m) {
  th__free((void *)m->list);
  th__free(m->text);
}

/* One text more. */
static void put(numbers *m, const char *format, ...) TH_PRINTF(2, 3);
static void put(numbers *m, const char *format, ...) {
  char *to = m->text + (size_t)m->n * NAME;
  va_list args;
  va_start(args, format);
  (void)vsnprintf(to, NAME, format, args);
  va_end(args);
  m->list[m->n++] = to;
}

static th_status numbers_gather(const th_checkpoint *c, numbers *m) {
  put(m, "format");
  put(m, "thrum checkpoint 1");
  if (c->optimizer) { /* the rate as its bits: exact, and the same in every locale */
    double rate = th_optimizer_lr(c->optimizer);
    uint64_t bits;
    memcpy(&bits, &rate, sizeof bits);
    put(m, "optimizer");
    put(m, "%" PRId64 " %" PRIu64, th_optimizer_steps(c->optimizer), bits);
  }
  if (c->loader) {
    int64_t epoch, batch;
    TH_TRY(th_loader_state(c->loader, &epoch, &batch));
    put(m, "loader");
    put(m, "%" PRId64 " %" PRId64, epoch, batch);
  }
  for (int i = 0; i < c->n_generators; i++) {
    uint64_t seed, counter;
    th_generator_state(c->generators[i], &seed, &counter);
    put(m, "generator.%d", i);
    put(m, "%" PRIu64 " %" PRIu64, seed, counter);
  }
  for (int i = 0; i < c->n_counters; i++) {
    if (strlen(c->counters[i].name) > NAME - 16)
      return th__fail(TH_EINVAL, "checkpoint_save: the name of counter %d is too long", i);
    put(m, "counter.%s", c->counters[i].name);
    put(m, "%" PRId64, *c->counters[i].value);
  }
  return TH_OK;
}

/* --- saving --- */

static th_array *save(const th_checkpoint *c, const char *path, int keep, const char *who) {
  if (check(c, path, who) != TH_OK) return NULL;
  arrays a = {0};
  numbers m = {0};
  th_array *saved = NULL;
  if (arrays_gather(c, &a) == TH_OK && check_views(&a, who) == TH_OK &&
      numbers_new(c, &m) == TH_OK && numbers_gather(c, &m) == TH_OK)
    saved = th__save(a.list, a.names, a.n, m.list, path, keep, who);
  arrays_free(&a);
  numbers_free(&m);
  return saved;
}

th_array *th_checkpoint_save_async(const th_checkpoint *c, const char *path, int keep) {
  return save(c, path, keep, "checkpoint_save_async");
}

th_status th_checkpoint_save(const th_checkpoint *c, const char *path, int keep) {
  th_scope scope = th__scope_suspend();
  th_array *saved = save(c, path, keep, "checkpoint_save");
  th_status status = saved ? th_wait(saved) : th_last_status();
  th_release(saved);
  (void)th__scope_resume(scope, NULL);
  return status;
}

/* --- loading --- */

static th_status lacks(const char *path, const char *what) {
  return th__fail(TH_EIO, "checkpoint_load: '%s': there is no %s", path, what);
}

/* Reads n whole numbers, separated by single blanks. */
static th_status get(const th_file *f, const char *path, const char *key, int n, uint64_t *out) {
  const char *text = th_file_metadata(f, key);
  if (!text) return lacks(path, key);
  for (int i = 0; i < n; i++) {
    char *end;
    bool negative = *text == '-' && text[1] >= '0' && text[1] <= '9';
    out[i] = negative ? (uint64_t)strtoll(text, &end, 10) : strtoull(text, &end, 10);
    bool digits = negative || (*text >= '0' && *text <= '9');
    if (!digits || *end != (i + 1 < n ? ' ' : 0))
      return th__fail(TH_EIO, "checkpoint_load: '%s': '%s' is no %s", path,
                      th_file_metadata(f, key), key);
    text = end + 1;
  }
  return TH_OK;
}

enum { RATE = 1, EPOCH, BATCH, MORE };

/* Fills v with all numbers of the file, in order: steps, rate, epoch, batch, seeds with counters, counters. */
static th_status read_numbers(const th_checkpoint *c, const th_file *f, const char *path,
                              uint64_t *v) {
  char key[NAME];
  if (c->optimizer) TH_TRY(get(f, path, "optimizer", 2, v));
  if ((int64_t)v[0] < 0) return lacks(path, "number of steps that is not negative");
  if (c->loader) TH_TRY(get(f, path, "loader", 2, v + EPOCH));
  v += MORE;
  for (int i = 0; i < c->n_generators; i++) {
    (void)snprintf(key, sizeof key, "generator.%d", i);
    TH_TRY(get(f, path, key, 2, v + 2 * i));
  }
  for (int i = 0; i < c->n_counters; i++) {
    (void)snprintf(key, sizeof key, "counter.%s", c->counters[i].name);
    TH_TRY(get(f, path, key, 1, v + 2 * c->n_generators + i));
  }
  return TH_OK;
}

/* Only the first can fail: TH_EINVAL. */
static th_status set_numbers(const th_checkpoint *c, const uint64_t *v) {
  if (c->loader) TH_TRY(th_loader_seek(c->loader, (int64_t)v[EPOCH], (int64_t)v[BATCH]));
  if (c->optimizer) {
    double rate;
    memcpy(&rate, v + RATE, sizeof rate);
    th_optimizer_set_lr(c->optimizer, rate);
    TH_TRY(th_optimizer_set_steps(c->optimizer, (int64_t)v[0]));
  }
  v += MORE;
  for (int i = 0; i < c->n_generators; i++, v += 2)
    th_generator_set_state(c->generators[i], v[0], v[1]);
  for (int i = 0; i < c->n_counters; i++) *c->counters[i].value = (int64_t)*v++;
  return TH_OK;
}

/* The file's arrays into loaded (+1 each), each of the shape and type of its counterpart. */
static th_status find_arrays(th_file *f, const char *path, const arrays *a, th_array **loaded) {
  char there[TH__SHAPE_TEXT], here[TH__SHAPE_TEXT];
  for (int i = 0; i < a->n; i++) {
    loaded[i] = th_file_array(f, a->names[i], th_cpu(0));
    if (!loaded[i]) return th_last_status() == TH_EINVAL ? lacks(path, a->names[i]) : TH_ENOMEM;
    const th_layout *x = &loaded[i]->layout, *y = &a->list[i]->layout;
    bool shapes = th__layout_same_shape(x, y);
    if (shapes && x->dtype == y->dtype) continue;
    return th__fail(shapes ? TH_EDTYPE : TH_ESHAPE,
                    "checkpoint_load: '%s': %s is %s of %s, the training has %s of %s", path,
                    a->names[i], th__shape_text(x->shape, x->ndim, there, sizeof there),
                    th_dtype_name(x->dtype), th__shape_text(y->shape, y->ndim, here, sizeof here),
                    th_dtype_name(y->dtype));
  }
  return TH_OK;
}

static th_status put_back(const th_checkpoint *c, th_file *f, const char *path, const arrays *a,
                          th_array **loaded, uint64_t *values) {
  TH_TRY(check_views(a, "checkpoint_load"));
  TH_TRY(read_numbers(c, f, path, values));
  TH_TRY(find_arrays(f, path, a, loaded));
  TH_TRY(set_numbers(c, values));
  bool recording = th_grad_mode(false); /* leaves may be written */
  th_status status = TH_OK;
  for (int i = 0; i < a->n && status == TH_OK; i++) status = th_assign(a->list[i], loaded[i]);
  th_grad_mode(recording);
  return status;
}

th_status th_checkpoint_load(const th_checkpoint *c, const char *path) {
  TH_TRY(check(c, path, "checkpoint_load"));
  arrays a;
  th_scope scope = th__scope_suspend();
  th_status status = arrays_gather(c, &a);
  size_t values = MORE + 2 * (size_t)c->n_generators + (size_t)c->n_counters;
  uint64_t *room = th__zalloc(values * sizeof *room + ((size_t)a.n + 1) * sizeof(th_array *));
  th_array **loaded = (th_array **)(room + values);
  if (status == TH_OK && !room) status = TH_ENOMEM;
  th_file *f = status == TH_OK ? th_file_open(path) : NULL;
  if (status == TH_OK) status = f ? put_back(c, f, path, &a, loaded, room) : th_last_status();
  for (int i = 0; room && i < a.n; i++) th_release(loaded[i]);
  th__free(room);
  arrays_free(&a);
  th_file_release(f);
  (void)th__scope_resume(scope, NULL);
  return status;
}
