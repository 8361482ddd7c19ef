/* Owns checkpoints of demos. */
#include "common/resume.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/demo.h"

/* Checkpoints of one path come one after the other: the one before has usually long been written. */
static void finish(resume *r) {
  if (!r->saving) return;
  DEMO_TRY(th_wait(r->saving));
  th_release(r->saving);
  r->saving = NULL;
}

static void save(resume *r) {
  finish(r);
  r->saving = th_keep(DEMO_MAKE(th_checkpoint_save_async(&r->parts, r->path, 1)));
  r->steps = 0;
}

void resume_begin(resume *r) {
  if (!r->path) return;
  if (access(r->path, F_OK) == 0)
    DEMO_TRY(th_checkpoint_load(&r->parts, r->path));
  else
    save(r); /* that it cannot be written is better known now than after the training */
}

void resume_step(resume *r) {
  if (r->path && ++r->steps >= r->every) save(r);
}

void resume_end(resume *r) {
  if (!r->path) return;
  save(r);
  finish(r);
}

void resume_digest(th_array *const *arrays, int n) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (int i = 0; i < n; i++) {
    size_t bytes = (size_t)th_array_size(arrays[i]) * th_dtype_size(th_array_dtype(arrays[i]));
    unsigned char *data = malloc(bytes + 1);
    if (!data) demo_die("no memory for a digest");
    DEMO_TRY(th_read(arrays[i], data, bytes));
    for (size_t k = 0; k < bytes; k++) hash = (hash ^ data[k]) * UINT64_C(0x100000001b3);
    free(data);
  }
  printf("digest %016" PRIx64 "\n", hash);
}
