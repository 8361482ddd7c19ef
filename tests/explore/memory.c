/* Owns what atomic locations hold: for each a history of its last stores, in modification order, and who must see which.
 *
 * The rules, after C11 and its repairs (Lahav and others, PLDI 2017):
 *   - A load may take any store that is not older than one the thread must know of: one that happened before, that the
 *     thread or somebody before it in happens-before has read, or that fences told it.
 *   - A release store carries what its thread knows; an acquire load of it takes that over. A read-modify-write always reads
 *     the newest store and passes on what that one carried.
 *   - Sequentially consistent operations are in the order in which they run: such a load takes nothing older than the
 *     last such store, or load, of its location.
 *   - A fence exchanges knowledge with all other fences. The heavy fence makes every thread pass one.
 * Real memory always holds the newest store, so setting up and looking in from outside need no care. */
#include "tests/explore/core.h"

#include <string.h>

#define STORES    8 /* remembered per location */
#define LOCATIONS 4096
#define SLOTS     16384 /* of the hash table */

typedef struct store {
  uint64_t value;
  int thread;                /* -1 = it was there */
  uint32_t time;             /* of that thread */
  ex_clock happened, seen;   /* what it carries to who acquires it */
  uint32_t read[EX_THREADS]; /* when each thread first read it; 0 = never */
} store;

typedef struct location {
  const volatile void *at;
  uint32_t count;   /* stores ever */
  uint32_t ordered; /* sequentially consistent loads take nothing older than this one */
  store stores[STORES];
} location;

static location locations[LOCATIONS];
static int n_locations;
static struct {
  const volatile void *at;
  uint32_t schedule;
  int index;
} table[SLOTS];
static uint32_t schedule;
static ex_clock fences;

static uint32_t hash(const volatile void *p) {
  return (uint32_t)((uint64_t)(uintptr_t)p * UINT64_C(0x9e3779b97f4a7c15) >> 40);
}

/* --- which locations several threads use, over all schedules of a scenario --- */

static struct {
  const volatile void *at;
  int thread; /* -1 = several */
} users[SLOTS];
static uint32_t n_users, n_shared;

void ex_shared_forget(void) {
  memset(users, 0, sizeof users);
  n_users = n_shared = 0;
}

uint32_t ex_shared_count(void) { return n_shared; }

bool ex_shared(const volatile void *p) {
  if (ex.live == 1) return false; /* setting up, looking at results */
  uint32_t i = hash(p) % SLOTS;
  while (users[i].at != p && users[i].at != NULL) i = (i + 1) % SLOTS;
  if (users[i].at == NULL) {
    if (n_users > SLOTS / 2) return true;
    n_users++;
    users[i].at = p;
    users[i].thread = ex.running;
  }
  if (users[i].thread != ex.running && users[i].thread >= 0) {
    users[i].thread = -1;
    n_shared++;
  }
  return users[i].thread < 0;
}

/* --- locations --- */

void ex_memory_reset(void) {
  schedule++;
  n_locations = 0;
  memset(&fences, 0, sizeof fences);
}

static uint64_t newest(const volatile void *p, int size) {
  uint64_t value = 0;
  memcpy(&value, (const void *)(uintptr_t)p, (size_t)size);
  return value;
}

static location *find(const volatile void *p, bool make) {
  uint32_t i = hash(p) % SLOTS;
  while (table[i].schedule == schedule && table[i].at != p) i = (i + 1) % SLOTS;
  if (table[i].schedule == schedule) return &locations[table[i].index];
  if (!make) return NULL;
  if (n_locations == LOCATIONS) ex_fail("more than %d atomic locations", LOCATIONS);
  table[i].at = p;
  table[i].schedule = schedule;
  table[i].index = n_locations;
  location *l = &locations[n_locations++];
  l->at = p;
  l->count = 0;
  return l;
}

void ex_memory_overwritten(uintptr_t from, uintptr_t to) {
  for (uintptr_t a = from & ~(uintptr_t)1; a < to; a += 2) {
    location *l = find((const volatile void *)a, false);
    if (l != NULL) l->count = 0;
  }
}

/* The location, with what lies there as its first store when nothing is known. */
static location *locate(const volatile void *p, int size) {
  location *l = find(p, true);
  uint64_t value = newest(p, size);
  if (l->count > 0 && l->stores[(l->count - 1) % STORES].value == value) return l;
  l->count = 1;
  l->ordered = 0;
  memset(&l->stores[0], 0, sizeof l->stores[0]);
  l->stores[0].value = value;
  l->stores[0].thread = -1;
  return l;
}

static bool acquires(ex_order order) {
  return order == EX_ACQUIRE || order == EX_ACQ_REL || order == EX_SEQ_CST;
}
static bool releases(ex_order order) {
  return order == EX_RELEASE || order == EX_ACQ_REL || order == EX_SEQ_CST;
}

static bool knows(const ex_thread *t, const store *s) {
  if (s->thread < 0 || t->seen.at[s->thread] >= s->time) return true;
  for (int i = 0; i < EX_THREADS; i++)
    if (s->read[i] != 0 && s->read[i] <= t->seen.at[i]) return true;
  return false;
}

/* The oldest store that the running thread may read. */
static uint32_t oldest(const location *l, ex_order order) {
  const ex_thread *t = &ex.threads[ex.running];
  uint32_t last = l->count - 1, first = l->count > STORES ? l->count - STORES : 0;
  while (last > first && !knows(t, &l->stores[last % STORES])) last--;
  return order == EX_SEQ_CST && l->ordered > last ? l->ordered : last;
}

/* The thread's time goes on, so that what it does from now on is later than what it told others. */
static void step_done(void) {
  ex_thread *t = &ex.threads[ex.running];
  t->happened.at[ex.running]++;
  t->seen.at[ex.running]++;
}

static void take_over(const store *s, ex_order order) {
  ex_thread *t = &ex.threads[ex.running];
  if (!acquires(order)) return;
  ex_join_clock(&t->happened, &s->happened);
  ex_join_clock(&t->seen, &s->seen);
}

static void read_by(store *s) {
  if (s->read[ex.running] == 0) s->read[ex.running] = ex.threads[ex.running].seen.at[ex.running];
}

/* Appends a store; `before` is the one it replaced in one step, or NULL. */
static void append(location *l, int size, uint64_t value, ex_order order, const store *before) {
  const ex_thread *t = &ex.threads[ex.running];
  store s = {.value = value, .thread = ex.running, .time = t->seen.at[ex.running]};
  if (before != NULL) {
    s.happened = before->happened;
    s.seen = before->seen;
  }
  if (releases(order)) {
    ex_join_clock(&s.happened, &t->happened);
    ex_join_clock(&s.seen, &t->seen);
  }
  if (order == EX_SEQ_CST) l->ordered = l->count;
  l->stores[l->count++ % STORES] = s;
  memcpy((void *)(uintptr_t)l->at, &value, (size_t)size);
  ex_changed();
}

/* --- operations --- */

/* One thread is alone: everybody else has ended, or will be born knowing all it did. Its steps need no history. */
static bool alone(void) { return ex.live == 1; }

static void write_newest(volatile void *p, int size, uint64_t value) {
  memcpy((void *)(uintptr_t)p, &value, (size_t)size);
  location *l = find(p, false);
  if (l != NULL) l->count = 0;
}

uint64_t ex_load(const ex_place *at, const volatile void *p, int size, ex_order order) {
  ex_point(at, p);
  ex_plain_access(p, (size_t)size, EX_ATOMIC_READ, __builtin_return_address(0));
  if (alone()) {
    ex_trace(at, " is %#llx", (unsigned long long)newest(p, size));
    return newest(p, size);
  }
  location *l = locate(p, size);
  uint32_t last = l->count - 1, older = last - oldest(l, order);
  uint32_t taken = last - (uint32_t)ex_choose_rare((int)older + 1);
  store *s = &l->stores[taken % STORES];
  uint64_t value = s->value;
  read_by(s);
  if (order == EX_SEQ_CST && l->ordered < taken) l->ordered = taken;
  take_over(s, order);
  ex_trace(at, " is %#llx%s", (unsigned long long)value, taken < last ? "   (an older value)" : "");
  step_done();
  return value;
}

void ex_store_now(const ex_place *at, volatile void *p, int size, uint64_t value, ex_order order) {
  ex_plain_access(p, (size_t)size, EX_ATOMIC_WRITE, __builtin_return_address(0));
  ex_trace(at, " := %#llx", (unsigned long long)value);
  if (alone()) {
    write_newest(p, size, value);
  } else {
    append(locate(p, size), size, value, order, NULL);
    step_done();
  }
}

void ex_store(const ex_place *at, volatile void *p, int size, uint64_t value, ex_order order) {
  ex_point(at, p);
  ex_store_now(at, p, size, value, order);
}

static uint64_t changed(ex_change change, uint64_t a, uint64_t b) {
  switch (change) {
  case EX_EXCHANGE: return b;
  case EX_ADD: return a + b;
  case EX_SUB: return a - b;
  case EX_OR: return a | b;
  case EX_AND: return a & b;
  }
  return 0;
}

/* The newest store is read and replaced in one step. */
static void replace(location *l, int size, uint64_t value, ex_order order) {
  store before = l->stores[(l->count - 1) % STORES];
  take_over(&before, order);
  append(l, size, value, order, &before);
}

uint64_t ex_rmw_now(const ex_place *at, volatile void *p, int size, ex_change change,
                    uint64_t operand, ex_order order) {
  ex_plain_access(p, (size_t)size, EX_ATOMIC_WRITE, __builtin_return_address(0));
  uint64_t mask = size == 8 ? ~UINT64_C(0) : (UINT64_C(1) << size * 8) - 1;
  uint64_t value = newest(p, size), after = changed(change, value, operand) & mask;
  ex_trace(at, " %#llx -> %#llx", (unsigned long long)value, (unsigned long long)after);
  if (alone()) {
    write_newest(p, size, after);
  } else {
    replace(locate(p, size), size, after, order);
    step_done();
  }
  return value;
}

uint64_t ex_rmw(const ex_place *at, volatile void *p, int size, ex_change change, uint64_t operand,
                ex_order order) {
  ex_point(at, p);
  return ex_rmw_now(at, p, size, change, operand, order);
}

/* A swap that fails is a load, so it may have seen an older value, if that is another one than expected. */
bool ex_cas(const ex_place *at, volatile void *p, int size, uint64_t *expected, uint64_t value,
            ex_order order, bool weak) {
  ex_point(at, p);
  location *l = locate(p, size);
  uint64_t wanted = *expected;
  uint32_t last = l->count - 1, older = last - oldest(l, EX_ACQUIRE);
  store *s = &l->stores[(last - (uint32_t)ex_choose_rare((int)older + 1)) % STORES];
  if (s->value == wanted) s = &l->stores[last % STORES];
  bool same = s->value == wanted, done = same && !(weak && ex_choose_rare(2) == 1);
  ex_plain_access(p, (size_t)size, done ? EX_ATOMIC_WRITE : EX_ATOMIC_READ,
                  __builtin_return_address(0));
  if (done) {
    replace(l, size, value, order);
    ex_trace(at, " %#llx -> %#llx", (unsigned long long)wanted, (unsigned long long)value);
  } else {
    read_by(s);
    take_over(s, EX_ACQUIRE);
    *expected = s->value;
    ex_trace(at, " swap of %#llx fails: %s%#llx", (unsigned long long)wanted,
             same ? "for nothing, is " : "is ", (unsigned long long)s->value);
  }
  step_done();
  return done;
}

static void fence_of(ex_thread *t) {
  ex_join_clock(&t->seen, &fences);
  ex_join_clock(&fences, &t->seen);
}

void ex_fence(const ex_place *at) {
  ex_point(at, &fences);
  fence_of(&ex.threads[ex.running]);
  ex_trace(at, " passed");
  step_done();
}

void ex_fence_everywhere(const ex_place *at) {
  ex_fence(at);
  for (int i = 0; i < EX_THREADS; i++) {
    if (i == ex.running || ex.threads[i].state == EX_NONE) continue;
    ex_point(at, &fences);
    fence_of(&ex.threads[i]);
    ex.threads[i].happened.at[i]++; /* what it does from now on is behind its fence */
    ex.threads[i].seen.at[i]++;
  }
  ex_fence(at);
}
