/* Owns the two runs of the oracle and their comparison. */
#include "stress/oracle.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stress/world.h"
#include "support/fakedriver.h"
#include "support/lagdevice.h"

/* Everything a run showed: per operation, then what is left in cells and arrays. */
typedef struct record {
  sight *steps;
  sight cells[PROGRAM_CELLS];
  sight shared[PROGRAM_CLASSES][PROGRAM_SHARED];
  sight *own; /* per submitter, class, operand */
} record;

typedef struct place { /* of one operation in the order of submission */
  uint64_t sequence;
  int submitter, index;
} place;

typedef struct oracle {
  const oracle_config *config;
  int ops; /* per submitter */
  char *message;
  size_t bytes;
} oracle;

static bool fail(oracle *x, const char *format, ...) {
  const oracle_config *c = x->config;
  int used = snprintf(
      x->message, x->bytes, "seed %llu, mode %s, %d workers, %d submitters, %d ops, errors %d: ",
      (unsigned long long)c->seed, c->mode, c->workers, c->submitters, c->ops, c->errors);
  va_list args;
  va_start(args, format);
  if (used > 0 && (size_t)used < x->bytes)
    vsnprintf(x->message + used, x->bytes - (size_t)used, format, args);
  va_end(args);
  return false;
}

static bool start_engine(oracle *x, const char *mode, int workers) {
  uint64_t seed = x->config->seed;
  char engine[64];
  bool seeded = strncmp(mode, "shuffle", 7) == 0 && !strchr(mode, ':');
  snprintf(engine, sizeof engine, seeded ? "%s:%llu" : "%s", mode, (unsigned long long)seed);
  if (x->config->gpu) {
    /* as it is */
  } else if (x->config->cuda) {
    fake_begin(seed);
    fake_setting("devices", 2);
    fake_setting("mode", (int64_t)(seed % 4));
    fake_setting("memops", seed % 8 < 6);
  } else {
    lag_install(seed);
  }
  th_config config = {.size = sizeof config,
                      .engine = engine,
                      .workers = workers,
                      .max_ops = seed % 3 == 0 ? 64 : 0,
                      .no_help_at_limit = workers > 0 && seed % 5 == 0,
                      .inline_small = seed % 2 == 0};
  return th_init(&config) == TH_OK || fail(x, "th_init: %s", th_last_error());
}

static void *submit_all(void *arg) {
  actor *a = arg;
  for (int i = 0; i < a->world->ops; i++) actor_step(a, i, false);
  return NULL;
}

static bool run_submitters(oracle *x, world *w) {
  pthread_t threads[16];
  int n = 0;
  if (w->submitters == 1) {
    submit_all(&w->actors[0]);
  } else {
    while (n < w->submitters && pthread_create(&threads[n], NULL, submit_all, &w->actors[n]) == 0)
      n++;
    for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
    if (n < w->submitters) return fail(x, "cannot start threads");
  }
  for (int i = 0; i < w->submitters; i++) {
    if (w->actors[i].error[0]) return fail(x, "submitter %d: %s", i, w->actors[i].error);
  }
  return true;
}

static bool look(oracle *x, world *w, record *r) {
  size_t n = (size_t)w->submitters;
  r->steps = malloc(n * (size_t)w->ops * sizeof *r->steps);
  r->own = malloc(n * PROGRAM_CLASSES * PROGRAM_PRIVATE * sizeof *r->own);
  if (!r->steps || !r->own) return fail(x, "out of memory");
  for (int i = 0; i < PROGRAM_CELLS; i++) r->cells[i] = look_at_cell(&w->cells[i]);
  sight *own = r->own;
  for (int t = 0; t < w->submitters; t++) {
    actor *a = &w->actors[t];
    memcpy(r->steps + (size_t)t * (size_t)w->ops, a->sights, (size_t)w->ops * sizeof *a->sights);
    for (int c = 0; c < PROGRAM_CLASSES; c++) {
      for (int i = PROGRAM_SHARED; i < PROGRAM_OPERANDS; i++)
        *own++ = look_at_array(a->arrays[c][i]);
    }
  }
  for (int c = 0; c < PROGRAM_CLASSES; c++) {
    for (int i = 0; i < PROGRAM_SHARED; i++) r->shared[c][i] = look_at_array(w->shared[c][i]);
  }
  return true;
}

static int compare_places(const void *a, const void *b) {
  const place *x = a, *y = b;
  return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

/* The operations that submitted something, in the order of submission. */
static place *order_of(const world *w, size_t *n) {
  place *places = malloc((size_t)w->submitters * (size_t)w->ops * sizeof *places);
  *n = 0;
  for (int t = 0; places && t < w->submitters; t++) {
    for (int i = 0; i < w->ops; i++) {
      uint64_t sequence = w->actors[t].sequence[i];
      if (sequence) places[(*n)++] = (place){sequence, t, i};
    }
  }
  if (places) qsort(places, *n, sizeof *places, compare_places);
  return places;
}

/* Carries out one submitter's operations up to and including index. */
static void catch_up(world *w, int submitter, int *next, int index) {
  while (*next <= index) actor_step(&w->actors[submitter], (*next)++, true);
}

static void replay(world *w, const place *order, size_t n) {
  int next[16] = {0};
  for (size_t i = 0; i < n; i++) {
    catch_up(w, order[i].submitter, &next[order[i].submitter], order[i].index);
  }
  for (int t = 0; t < w->submitters; t++) catch_up(w, t, &next[t], w->ops - 1);
}

/* Shows the trace of what ran so far. */
static bool look_at_trace(oracle *x) {
  char *text = NULL, wrong[300] = "";
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  th_status status = out == NULL ? TH_ENOMEM : th_profile_write(out);
  if (out != NULL) fclose(out);
  bool ok = status == TH_OK && x->config->look(text, size, wrong, sizeof wrong);
  free(text);
  return ok || fail(x, "trace: %s", status == TH_OK ? wrong : th_last_error());
}

/* Waits, looks, takes the world down and stops the engine. */
static bool finish(oracle *x, world *w, record *r, bool traced) {
  th_status status = th_wait_all(); /* its failures are looked at one by one */
  bool ok = look(x, w, r);
  status = th_wait_all();
  if (ok && traced) ok = look_at_trace(x);
  if (ok && w->pushed != w->dropped) {
    ok = fail(x, "%llu arguments were pushed, %llu dropped", (unsigned long long)w->pushed,
              (unsigned long long)w->dropped);
  }
  world_close(w);
  status = th_shutdown();
  const char *findings = x->config->cuda && !x->config->gpu ? fake_findings(true) : "";
  if (ok && findings[0] != 0) return fail(x, "the fake driver found: %.300s", findings);
  return ok && (status == TH_OK || fail(x, "th_shutdown: %s", th_last_error()));
}

static bool first_run(oracle *x, record *r, place **order, size_t *n) {
  const oracle_config *c = x->config;
  world w;
  if (!start_engine(x, c->mode, c->workers)) return false;
  if (c->look != NULL && th_profile_start(0) != TH_OK) return fail(x, "%s", th_last_error());
  if (!world_open(&w, c->seed, c->submitters, x->ops, c->errors, c->cuda, c->gpu))
    return fail(x, "%s", th_last_error());
  bool ok = run_submitters(x, &w);
  *order = order_of(&w, n);
  return finish(x, &w, r, c->look != NULL) && ok && (*order || fail(x, "out of memory"));
}

static bool second_run(oracle *x, record *r, const place *order, size_t n) {
  const oracle_config *c = x->config;
  world w;
  if (!start_engine(x, "serial", 1)) return false;
  if (!world_open(&w, c->seed, c->submitters, x->ops, c->errors, c->cuda, c->gpu))
    return fail(x, "%s", th_last_error());
  replay(&w, order, n);
  return finish(x, &w, r, false);
}

static bool same(const sight *a, const sight *b) {
  return a->status == b->status && a->origin == b->origin && a->hash == b->hash;
}

static bool differ(oracle *x, const char *what, int t, int i, const sight *a, const sight *b) {
  return fail(x,
              "%s %d of submitter %d: status %d origin %08x hash %016llx, serial: %d %08x %016llx",
              what, i, t, a->status, a->origin, (unsigned long long)a->hash, b->status, b->origin,
              (unsigned long long)b->hash);
}

static bool compare_steps(oracle *x, const record *a, const record *b) {
  for (int i = 0; i < x->ops; i++) {
    for (int t = 0; t < x->config->submitters; t++) {
      size_t at = (size_t)t * (size_t)x->ops + (size_t)i;
      if (same(&a->steps[at], &b->steps[at])) continue;
      op o = program_op(x->config->seed, t, i, x->config->errors);
      return differ(x, program_op_name(o.kind), t, i, &a->steps[at], &b->steps[at]);
    }
  }
  return true;
}

static bool compare_rest(oracle *x, const record *a, const record *b) {
  for (int i = 0; i < PROGRAM_CELLS; i++) {
    if (!same(&a->cells[i], &b->cells[i]))
      return differ(x, "cell", -1, i, &a->cells[i], &b->cells[i]);
  }
  for (int i = 0; i < PROGRAM_CLASSES * PROGRAM_SHARED; i++) {
    const sight *p = &a->shared[0][0] + i, *q = &b->shared[0][0] + i;
    if (!same(p, q)) return differ(x, "shared array", -1, i, p, q);
  }
  for (int i = 0; i < x->config->submitters * PROGRAM_CLASSES * PROGRAM_PRIVATE; i++) {
    if (!same(&a->own[i], &b->own[i])) return differ(x, "own array", -1, i, &a->own[i], &b->own[i]);
  }
  return true;
}

bool oracle_run(const oracle_config *config, char *message, size_t bytes) {
  oracle x = {.config = config,
              .ops = config->ops / config->submitters,
              .message = message,
              .bytes = bytes};
  record parallel = {0}, serial = {0};
  place *order = NULL;
  size_t n = 0;
  bool ok = first_run(&x, &parallel, &order, &n) && second_run(&x, &serial, order, n) &&
            compare_steps(&x, &parallel, &serial) && compare_rest(&x, &parallel, &serial);
  free(order);
  free(parallel.steps);
  free(parallel.own);
  free(serial.steps);
  free(serial.own);
  return ok;
}
