/* Owns parallel loops inside a task. A loop is a counted record with a block counter; other workers get mere invitations, which
 * may come late, and threads that wait for the task find its loop through the thread that runs it. The owner runs blocks
 * of its own loop only, so it never waits for strangers. Never more threads are in a loop than the device has workers and
 * one, or than there are cores: the owner waits for all of them, and one without a core would keep it waiting.
 * word = {generation, guests}: joining is a compare-and-swap that an ended loop refuses. */
#include "engine/parts.h"

#define LOOPS     256
#define END_SPINS 4000 /* before an owner whose guests are not done goes to sleep */

typedef struct loop {
  _Atomic uint64_t word;
  _Atomic uint32_t taken; /* record in use */
  _Atomic uint32_t wake;
  /* Blocks: to the owner, from the first on; in the upper half to guests, from the last. */
  _Atomic uint64_t given;
  /* Written by the owner before the generation begins, read by guests: the word orders them. */
  int64_t n, grain, blocks;
  uint32_t most_guests;
  th__ref task;
  void (*body)(int64_t first, int64_t last, void *arg);
  void *arg;
} loop;

static loop loops[LOOPS];
static _Atomic uint32_t hint;

/* Set while this thread runs blocks: a loop inside a block runs right there, because the context it is given may be another
 * thread's. */
static _Thread_local bool inside;

/* An invitation reached this thread since it was last asked, in time or not. */
static _Thread_local bool invited;

static int64_t blocks_of(uint64_t given) {
  return (int64_t)(uint32_t)given + (int64_t)(given >> 32);
}

/* From both ends, so that in operators that follow each other the same parts fall to the same core, which has them in its
 * cache. -1: none is left. Relaxed: the word orders the data. */
static int64_t next_block(loop *l, bool guest) {
  uint64_t one = guest ? UINT64_C(1) << 32 : 1;
  uint64_t given = th__load(&l->given, TH__RELAXED); /* who comes again and again counts nothing */
  if (blocks_of(given) < l->blocks) given = th__fetch_add(&l->given, one, TH__RELAXED);
  if (blocks_of(given) >= l->blocks) return -1;
  return guest ? l->blocks - 1 - (int64_t)(given >> 32) : (int64_t)(uint32_t)given;
}

/* False when there was none left. */
static bool run_blocks(loop *l, bool guest) {
  bool any = false;
  inside = true;
  int64_t block;
  while ((block = next_block(l, guest)) >= 0) {
    int64_t first = block * l->grain;
    l->body(first, l->n - first < l->grain ? l->n : first + l->grain, l->arg);
    any = true;
  }
  inside = false;
  return any;
}

/* As a guest, if the loop has not ended, has room, and is this task's (0: any task's). Whether a block was left. */
static bool join(th__ref ref, th__ref task) {
  loop *l = &loops[TH__REF_SLOT(ref) & (LOOPS - 1)];
  uint64_t word = th__load(&l->word, TH__RELAXED);
  do {
    if (word >> 32 != TH__REF_GENERATION(ref)) return false; /* the loop has ended */
    /* acquire: pairs with the owner's release of the generation, so the fields are its own. */
  } while (!th__cas_weak(&l->word, &word, word + 1, TH__ACQ_REL));
  bool welcome = (uint32_t)word < l->most_guests && (task == 0 || l->task == task);
  bool any = welcome && run_blocks(l, true);
  /* release: the owner sees what the blocks did. */
  uint64_t before = th__fetch_sub(&l->word, 1, TH__ACQ_REL);
  if ((uint32_t)before == 1 && before >> 32 != TH__REF_GENERATION(ref)) {
    th__fetch_add(&l->wake, 1, TH__RELEASE);
    th__unpark(&l->wake, 1);
  }
  return any;
}

void th__loop_join(th__ref ref) {
  invited = true;
  (void)join(ref, 0);
}

bool th__loops_came(void) {
  bool came = invited;
  invited = false;
  return came;
}

bool th__loop_help(const th__thread *owner, th__ref task) {
  th__ref ref = th__load(&owner->loop, TH__ACQUIRE);
  return ref != 0 && join(ref, task);
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
    if (++spins < END_SPINS) {
      th__pause();
    } else {
      th__park(&l->wake, wake, 1000000);
    }
  }
  th__store(&l->taken, 0, TH__RELEASE);
}

void th__loops_forget(void) {
  inside = false;
  for (int i = 0; i < LOOPS; i++) { /* their owners and users are gone */
    uint64_t generation = (th__load(&loops[i].word, TH__RELAXED) >> 32) + 1;
    th__store(&loops[i].word, generation << 32, TH__RELAXED);
    th__store(&loops[i].taken, 0, TH__RELAXED);
  }
}

/* Cores of this process when it was first asked. Relaxed: any thread finds the same. */
static int cores(void) {
  static _Atomic int known;
  int n = th__load(&known, TH__RELAXED);
  if (n == 0) th__store(&known, n = th__thread_cores(), TH__RELAXED);
  return n;
}

static void run_alone(int64_t n, int64_t grain, void (*body)(int64_t, int64_t, void *), void *arg) {
  int64_t first = 0;
  for (; n - first > grain; first += grain) body(first, first + grain, arg);
  body(first, n, arg);
}

/* With the workers of `device` as guests. task: who waits for it may help; 0 = nobody. */
static void run_loop(th__thread *self, th__pool_device *device, th__ref task, int64_t n,
                     int64_t grain, void (*body)(int64_t, int64_t, void *), void *arg) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  while (n / grain >= INT32_MAX) grain *= 2; /* both counts fit their halves */
  int64_t blocks = (n - 1) / grain + 1;
  int guests = device == NULL || device->lanes != NULL || inside ? 0 : device->n_workers;
  if (guests > cores() - 1) guests = cores() - 1;
  if (blocks - 1 < guests) guests = (int)(blocks - 1);
  loop *l = guests > 0 ? take() : NULL;
  if (l == NULL) {
    run_alone(n, grain, body, arg);
    return;
  }
  l->n = n;
  l->grain = grain;
  l->blocks = blocks;
  l->body = body;
  l->arg = arg;
  l->most_guests = (uint32_t)guests;
  l->task = task;
  th__store(&l->given, 0, TH__RELAXED);
  uint32_t generation = (uint32_t)(th__load(&l->word, TH__RELAXED) >> 32) + 1;
  /* release: guests see the fields. The owner is no guest. */
  th__store(&l->word, (uint64_t)generation << 32, TH__RELEASE);
  th__ref ref = TH__REF(generation, TH__LOOP_BIT | (uint32_t)(l - loops));
  th__store(&self->loop, ref, TH__RELEASE); /* pairs with th__loop_help() */
  /* Where a worker owns it, one invitation is for a thread of the program that waits and runs what there is. */
  th__invite(self, device, ref, guests);
  (void)run_blocks(l, false);
  th__store(&self->loop, 0, TH__RELAXED);
  finish(l);
}

void th_parallel_for(th_task_context *context, int64_t n, int64_t grain,
                     void (*body)(int64_t first, int64_t last, void *arg), void *arg) {
  run_loop(context->thread, th__task_device(context->task), th__task_ref(context->task), n, grain,
           body, arg);
}

void th__device_loop(int64_t n, int64_t grain, void (*body)(int64_t first, int64_t last, void *arg),
                     void *arg) {
  th__thread *self = th__self();
  run_loop(self, self != NULL ? th__device_if_open((th_device){0}) : NULL, 0, n, grain, body, arg);
}
