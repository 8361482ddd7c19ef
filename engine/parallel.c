/* Owns parallel loops inside a task. A loop is a counted record with a block counter; other workers get mere invitations, which
 * may come late. The owner runs blocks of its own loop only, so loops nest and never wait for strangers.
 * word = {generation, users}: joining is a compare-and-swap that an ended loop refuses. */
#include "engine/parts.h"

#define LOOPS 256

typedef struct loop {
  _Atomic uint64_t word;
  _Atomic uint32_t taken; /* record in use */
  _Atomic uint32_t wake;
  _Atomic int64_t next; /* first element of the next block */
  int64_t n, grain;
  void (*body)(int64_t first, int64_t last, void *arg);
  void *arg;
} loop;

static loop loops[LOOPS];
static _Atomic uint32_t hint;

static void run_blocks(loop *l) {
  for (;;) {
    int64_t first = th__fetch_add(&l->next, l->grain, TH__RELAXED); /* the word orders the data */
    if (first >= l->n) return;
    int64_t last = l->n - first < l->grain ? l->n : first + l->grain;
    l->body(first, last, l->arg);
  }
}

void th__loop_join(th__ref ref) {
  loop *l = &loops[TH__REF_SLOT(ref) & (LOOPS - 1)];
  uint64_t word = th__load(&l->word, TH__RELAXED);
  do {
    if (word >> 32 != TH__REF_GENERATION(ref)) return; /* the loop has ended */
  } while (!th__cas_weak(&l->word, &word, word + 1, TH__ACQ_REL));
  run_blocks(l);
  /* release: the owner sees what the blocks did. */
  uint64_t before = th__fetch_sub(&l->word, 1, TH__ACQ_REL);
  if ((uint32_t)before == 1 && before >> 32 != TH__REF_GENERATION(ref)) {
    th__fetch_add(&l->wake, 1, TH__RELEASE);
    th__unpark(&l->wake, 1);
  }
}

static loop *take(void) {
  uint32_t start = th__fetch_add(&hint, 1, TH__RELAXED);
  for (uint32_t i = 0; i < 8; i++) {
    loop *l = &loops[(start + i) & (LOOPS - 1)];
    uint32_t none = 0;
    if (th__load(&l->taken, TH__RELAXED) == 0 && th__cas(&l->taken, &none, 1, TH__ACQ_REL))
      return l;
  }
  return NULL;
}

/* Ends the generation, so nobody joins any more, and waits for those inside. */
static void finish(loop *l) {
  uint64_t word = th__fetch_add(&l->word, UINT64_C(1) << 32, TH__ACQ_REL);
  int spins = 0;
  while ((uint32_t)word != 0) {
    uint32_t wake = th__load(&l->wake, TH__ACQUIRE);
    word = th__load(&l->word, TH__ACQUIRE);
    if ((uint32_t)word == 0) break;
    if (++spins < 4000) {
      th__pause();
    } else {
      th__park(&l->wake, wake, 1000000);
    }
  }
  th__store(&l->taken, 0, TH__RELEASE);
}

void th__loops_forget(void) {
  for (int i = 0; i < LOOPS; i++) { /* their owners and users are gone */
    uint64_t generation = (th__load(&loops[i].word, TH__RELAXED) >> 32) + 1;
    th__store(&loops[i].word, generation << 32, TH__RELAXED);
    th__store(&loops[i].taken, 0, TH__RELAXED);
  }
}

static void run_alone(int64_t n, int64_t grain, void (*body)(int64_t, int64_t, void *), void *arg) {
  for (int64_t first = 0; first < n; first += grain)
    body(first, n - first < grain ? n : first + grain, arg);
}

void th_parallel_for(th_task_context *context, int64_t n, int64_t grain,
                     void (*body)(int64_t first, int64_t last, void *arg), void *arg) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  th__pool_device *device = context->device;
  int64_t blocks = (n - 1) / grain + 1;
  int others =
      device->lanes != NULL ? 0 : device->n_workers - (context->thread->pool == device ? 1 : 0);
  if (blocks - 1 < others) others = (int)(blocks - 1);
  loop *l = others > 0 && n <= INT64_MAX - grain * (int64_t)(others + 2) ? take() : NULL;
  if (l == NULL) {
    run_alone(n, grain, body, arg);
    return;
  }
  l->n = n;
  l->grain = grain;
  l->body = body;
  l->arg = arg;
  th__store(&l->next, 0, TH__RELAXED);
  uint32_t generation = (uint32_t)(th__load(&l->word, TH__RELAXED) >> 32) + 1;
  /* release: joiners see the fields. users 0: the owner is not counted. */
  th__store(&l->word, (uint64_t)generation << 32, TH__RELEASE);
  th__invite(context->thread, device, TH__REF(generation, TH__LOOP_BIT | (uint32_t)(l - loops)),
             others);
  run_blocks(l);
  finish(l);
}
