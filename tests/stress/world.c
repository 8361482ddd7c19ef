/* Owns the state of random programs: making, looking at and unmaking it. */
#include "stress/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/lagdevice.h"

th_device world_device(const world *w, int device) {
  if (device == 0) return th_cpu(0);
  return w->cuda ? th_cuda((device - 1) % w->gpus) : lag_device(device - 1);
}

th_dtype world_dtype(int class_) { return class_ % 2 ? TH_F32 : TH_I32; }

sight look_at_status(th_status status) {
  sight s = {.status = status};
  if (status == TH_OK) return s;
  const char *injected = strstr(th_last_error(), "injected by ");
  if (injected) s.origin = (uint32_t)program_mix(strtoull(injected + 12, NULL, 10)) | 1;
  return s;
}

static uint64_t hash_host(const th_array *a, const void *data) {
  uint64_t h = 1;
  for (int64_t i = 0; i < th_array_size(a); i++) {
    uint32_t bits = ((const uint32_t *)data)[i];
    /* Which NaN is not promised: it may depend on the operand order a compiler chose. */
    if (th_array_dtype(a) == TH_F32 && (bits & 0x7fffffff) > 0x7f800000) bits = 0x7fc00000;
    h = program_mix(h * 31 + bits);
  }
  return h;
}

sight look_at_array(const th_array *a) {
  size_t bytes = (size_t)th_array_size(a) * 4;
  uint32_t small[64], *data = bytes <= sizeof small ? small : malloc(bytes);
  sight s = {.status = TH_ENOMEM};
  if (!data) return s;
  s = look_at_status(th_read(a, data, bytes));
  if (s.status == TH_OK) s.hash = hash_host(a, data);
  if (data != small) free(data);
  return s;
}

sight look_at_cell(cell *c) {
  sight s = look_at_status(th_wait_var(c->var));
  s.hash = c->value;
  return s;
}

static th_array *fresh_array(const world *w, int class_, int operand) {
  int64_t shape[2] = {w->rows, w->columns};
  th_array *a =
      th_full(shape, 2, 1 + class_ * 3 + operand, world_dtype(class_), world_device(w, class_ / 2));
  return a;
}

static bool open_actor(world *w, actor *a, int index) {
  a->world = w;
  a->index = index;
  a->generator = th_generator_new(w->seed * 16 + (uint64_t)index);
  a->sights = calloc((size_t)w->ops, sizeof *a->sights);
  a->sequence = calloc((size_t)w->ops, sizeof *a->sequence);
  bool ok = a->generator && a->sights && a->sequence;
  for (int c = 0; c < PROGRAM_CLASSES; c++) {
    for (int i = 0; i < PROGRAM_OPERANDS; i++) {
      a->arrays[c][i] = i < PROGRAM_SHARED ? w->shared[c][i] : fresh_array(w, c, i + index);
      ok = ok && a->arrays[c][i];
    }
  }
  return ok;
}

bool world_open(world *w, uint64_t seed, int submitters, int ops, int errors, bool cuda, bool gpu) {
  *w = (world){.seed = seed,
               .submitters = submitters,
               .ops = ops,
               .errors = errors,
               .cuda = cuda,
               .gpu = gpu,
               .gpus = cuda ? th_device_count(TH_CUDA) : 0,
               .rows = 4,
               .columns = 6};
  if (seed % 16 == 15) w->rows = 64, w->columns = 700; /* large enough to be split among workers */
  bool ok = !cuda || w->gpus > 0;
  for (int i = 0; ok && i < PROGRAM_CELLS; i++) {
    w->cells[i] = (cell){th_var_new(), (uint64_t)i};
    ok = ok && w->cells[i].var;
  }
  for (int c = 0; ok && c < PROGRAM_CLASSES; c++) {
    for (int i = 0; i < PROGRAM_SHARED; i++) {
      w->shared[c][i] = fresh_array(w, c, i);
      ok = ok && w->shared[c][i];
    }
  }
  w->actors = calloc((size_t)submitters, sizeof *w->actors);
  for (int i = 0; ok && i < submitters; i++) ok = w->actors && open_actor(w, &w->actors[i], i);
  pthread_mutex_init(&w->foreign.lock, NULL);
  pthread_cond_init(&w->foreign.more, NULL);
  return pthread_create(&w->foreign.thread, NULL, foreigner_main, &w->foreign) == 0 && ok;
}

void world_close(world *w) {
  foreigner_stop(&w->foreign);
  for (int t = 0; w->actors && t < w->submitters; t++) {
    actor *a = &w->actors[t];
    for (int c = 0; c < PROGRAM_CLASSES; c++) {
      for (int i = PROGRAM_SHARED; i < PROGRAM_OPERANDS; i++) th_release(a->arrays[c][i]);
    }
    th_generator_release(a->generator);
    free(a->sights);
    free(a->sequence);
  }
  for (int c = 0; c < PROGRAM_CLASSES; c++) {
    for (int i = 0; i < PROGRAM_SHARED; i++) th_release(w->shared[c][i]);
  }
  for (int i = 0; i < PROGRAM_CELLS; i++) th_var_release(w->cells[i].var);
  free(w->actors);
  pthread_mutex_destroy(&w->foreign.lock);
  pthread_cond_destroy(&w->foreign.more);
}
