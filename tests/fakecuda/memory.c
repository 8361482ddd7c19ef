/* Owns the fake's memory: allocations, the blocks that pools cut out of them, and the checker of accesses. */
#include <stdlib.h>
#include <string.h>

#include "fakecuda/fake.h"

#define ALIGN 4096

/* A piece of memory in a sorted list. */
typedef struct piece {
  char *begin;
  int64_t bytes;
  th__cu_context context; /* NULL: pinned host memory */
  th__cu_context by;      /* the program's own, registered in this one; NULL: allocated */
} piece;

typedef struct pieces {
  piece *list;
  size_t n, room;
} pieces;

typedef struct past_access {
  const char *begin, *end;
  int stream;
  uint64_t seq;
  bool writes;
  char name[48];
} past_access;

static pieces allocations, blocks;
static past_access *past;
static size_t n_past, past_room;
static bool watched; /* blocks are told */

/* ---- sorted pieces ---- */

/* Index of the first that begins above address. */
static size_t above(const pieces *p, const void *address) {
  size_t low = 0, high = p->n;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (p->list[middle].begin <= (const char *)address)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static piece *holding(const pieces *p, const void *address) {
  size_t i = above(p, address);
  if (i == 0) return NULL;
  piece *found = &p->list[i - 1];
  return (const char *)address < found->begin + found->bytes ? found : NULL;
}

static void insert(pieces *p, piece new) {
  if (p->n == p->room) {
    p->room = p->room == 0 ? 64 : 2 * p->room;
    p->list = realloc(p->list, p->room * sizeof *p->list);
  }
  size_t i = above(p, new.begin);
  memmove(&p->list[i + 1], &p->list[i], (p->n - i) * sizeof *p->list);
  p->list[i] = new;
  p->n++;
}

static void erase(pieces *p, const piece *at) {
  size_t i = (size_t)(at - p->list);
  memmove(&p->list[i], &p->list[i + 1], (p->n - i - 1) * sizeof *p->list);
  p->n--;
}

bool fake_extent(const void *address, const void **begin, int64_t *bytes) {
  const piece *p = holding(&blocks, address);
  if (p == NULL) p = holding(&allocations, address);
  if (p == NULL) return false;
  *begin = p->begin;
  *bytes = p->bytes;
  return true;
}

/* ---- the checker ---- */

static bool overlaps(const past_access *a, const char *begin, const char *end) {
  return a->begin < end && begin < a->end;
}

static void forget(size_t i) { past[i] = past[--n_past]; }

static void forget_range(const char *begin, int64_t bytes) {
  for (size_t i = 0; i < n_past;) {
    if (overlaps(&past[i], begin, begin + bytes))
      forget(i);
    else
      i++;
  }
}

static void remember(past_access a) {
  if (n_past == past_room) {
    past_room = past_room == 0 ? 256 : 2 * past_room;
    past = realloc(past, past_room * sizeof *past);
  }
  past[n_past++] = a;
}

/* Memory inside an allocation of a device that is told of its blocks must lie in one. */
static void check_place(const char *name, const char *begin, int64_t bytes) {
  const piece *a = holding(&allocations, begin), *b = holding(&blocks, begin);
  if (a == NULL) {
    fake_complain("%s: %p is no memory of the driver's", name, (const void *)begin);
  } else if (begin + bytes > a->begin + a->bytes) {
    fake_complain("%s: %lld bytes at %p pass the end of the allocation", name, (long long)bytes,
                  (const void *)begin);
  } else if (watched && a->context != NULL && (b == NULL || begin + bytes > b->begin + b->bytes)) {
    fake_complain("%s: %lld bytes at %p are not in one block that is taken", name, (long long)bytes,
                  (const void *)begin);
  }
}

void fake_access(struct CUstream_st *s, const char *name, const void *address, int64_t bytes,
                 bool writes) {
  const char *begin = address, *end = begin + bytes;
  if (bytes <= 0) return;
  check_place(name, begin, bytes);
  for (size_t i = 0; i < n_past;) {
    past_access *a = &past[i];
    bool over = fake.host[a->stream] >= a->seq;
    bool ordered = over || s->clock[a->stream] >= a->seq;
    bool meets = overlaps(a, begin, end);
    if (meets && !ordered && (writes || a->writes)) {
      fake.count.races++;
      fake_complain("race: %s %s on stream %d, %s %s on stream %d, not ordered", a->name,
                    a->writes ? "writes" : "reads", a->stream, name, writes ? "writes" : "reads",
                    s->id);
    }
    bool replaced = meets && ordered && a->begin >= begin && a->end <= end &&
                    (writes || (a->stream == s->id && !a->writes));
    if (over || replaced)
      forget(i);
    else
      i++;
  }
  past_access a = {begin, end, s->id, s->issued, writes, ""};
  strncpy(a.name, name, sizeof a.name - 1);
  remember(a);
}

/* Whether something that is not known to be over uses the memory, or only: writes it. */
static bool in_use(const char *begin, const char *end, bool by_writers) {
  for (size_t i = 0; i < n_past; i++)
    if (overlaps(&past[i], begin, end) && fake.host[past[i].stream] < past[i].seq &&
        (past[i].writes || !by_writers))
      return true;
  return false;
}

FAKE_EXPORT void fake_block(void *block, int64_t bytes, int taken) {
  fake_lock();
  watched = true;
  const piece *p = holding(&blocks, block), *a = holding(&allocations, block);
  if (taken && p != NULL) fake_complain("the block at %p is taken twice", block);
  if (taken && a == NULL) fake_complain("the block at %p is in no allocation", block);
  if (!taken && p == NULL) fake_complain("the block at %p is given back twice", block);
  if (taken && p == NULL && a != NULL) insert(&blocks, (piece){block, bytes, a->context, NULL});
  if (!taken && p != NULL) erase(&blocks, p);
  if (a != NULL && !in_use(block, (char *)block + bytes, false))
    memset(block, taken ? 0xFF : 0xDB, (size_t)bytes);
  fake_unlock();
}

/* ---- allocations ---- */

static int64_t held_by(th__cu_context context) {
  int64_t bytes = 0;
  for (size_t i = 0; i < allocations.n; i++)
    if (allocations.list[i].context == context) bytes += allocations.list[i].bytes;
  return bytes;
}

static void *new_allocation(size_t bytes, th__cu_context context) {
  size_t room = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
  char *memory = aligned_alloc(ALIGN, room == 0 ? ALIGN : room);
  if (memory == NULL) return NULL;
  memset(memory, 0xFF, bytes);
  insert(&allocations, (piece){memory, (int64_t)bytes, context, NULL});
  return memory;
}

/* As the real driver does, waits for everything that may use it. */
static th__cu_result end_allocation(void *block, bool registered) {
  piece *p = holding(&allocations, block);
  if (p == NULL || p->begin != block || (p->by != NULL) != registered) {
    fake_complain("%p is freed and no allocation", block);
    return 1;
  }
  for (int id = 0; id < FAKE_STREAMS; id++) { /* the list may change while threads are waited for */
    struct CUstream_st *s = fake.streams;
    while (s != NULL && s->id != id) s = s->next;
    if (s != NULL && s->context->dead == TH__CU_SUCCESS) (void)fake_run_until(s, s->issued);
  }
  fake_threads_idle();
  p = holding(&allocations, block);
  forget_range(p->begin, p->bytes);
  for (size_t i = 0; i < blocks.n; i++)
    if (blocks.list[i].begin >= p->begin && blocks.list[i].begin < p->begin + p->bytes)
      fake_complain("%p is freed and has a block that is taken", block);
  if (!registered) {
    memset(p->begin, 0xDB, (size_t)p->bytes);
    free(p->begin);
  }
  erase(&allocations, p);
  return TH__CU_SUCCESS;
}

th__cu_result cuMemAlloc_v2(th__cu_address *out, size_t bytes) {
  fake_lock();
  th__cu_context c = fake_current();
  th__cu_result result = c == NULL ? 201 : c->dead;
  fake.count.allocs++;
  bool refuse = fake_strikes(&fake.set.fail_alloc);
  if (result == TH__CU_SUCCESS && (refuse || held_by(c) + (int64_t)bytes > fake.set.memory))
    result = TH__CU_OUT_OF_MEMORY;
  if (result == TH__CU_SUCCESS) {
    void *memory = new_allocation(bytes, c);
    if (memory == NULL) result = TH__CU_OUT_OF_MEMORY;
    *out = (th__cu_address)(uintptr_t)memory;
  }
  fake_unlock();
  return result;
}

th__cu_result cuMemFree_v2(th__cu_address block) {
  fake_lock();
  fake.count.frees++;
  const piece *p = holding(&allocations, (void *)(uintptr_t)block);
  bool dead = p != NULL && p->context->dead != TH__CU_SUCCESS; /* then it goes with the context */
  th__cu_result result = dead ? p->context->dead : end_allocation((void *)(uintptr_t)block, false);
  fake_unlock();
  return result;
}

th__cu_result cuMemHostAlloc(void **out, size_t bytes, unsigned flags) {
  fake_lock();
  fake.count.host_allocs++;
  *out = fake_strikes(&fake.set.fail_host) ? NULL : new_allocation(bytes, NULL);
  fake_unlock();
  return *out != NULL ? TH__CU_SUCCESS : TH__CU_OUT_OF_MEMORY;
}

th__cu_result cuMemFreeHost(void *block) {
  fake_lock();
  th__cu_result result = end_allocation(block, false);
  fake_unlock();
  return result;
}

th__cu_result cuMemHostRegister_v2(void *memory, size_t bytes, unsigned flags) {
  fake_lock();
  fake.count.registers++;
  th__cu_result result = fake_strikes(&fake.set.fail_host) ? TH__CU_OUT_OF_MEMORY : TH__CU_SUCCESS;
  if (result == TH__CU_SUCCESS)
    insert(&allocations, (piece){memory, (int64_t)bytes, NULL, fake_current()});
  fake_unlock();
  return result;
}

th__cu_result cuMemHostUnregister(void *memory) {
  fake_lock();
  th__cu_result result = end_allocation(memory, true);
  fake_unlock();
  return result;
}

/* Of all attributes the one that is asked for; of memory that it does not know the driver says that the value is invalid. */
th__cu_result cuPointerGetAttribute(void *out, th__cu_pointer_attribute attribute,
                                    th__cu_address pointer) {
  fake_lock();
  const piece *p = holding(&allocations, (void *)(uintptr_t)pointer);
  int type = p != NULL && p->context == NULL ? TH__CU_MEMORY_HOST : 2;
  if (p != NULL) memcpy(out, &type, sizeof type);
  fake_unlock();
  return p != NULL && attribute == TH__CU_POINTER_MEMORY_TYPE ? TH__CU_SUCCESS : 1;
}

th__cu_result cuMemHostGetDevicePointer_v2(th__cu_address *out, void *block, unsigned flags) {
  fake_lock();
  bool known = holding(&allocations, block) != NULL;
  if (!known) fake_complain("%p is not pinned", block);
  *out = (th__cu_address)(uintptr_t)block;
  fake_unlock();
  return known ? TH__CU_SUCCESS : 1;
}

/* Streams of other devices must be through with memory that goes. */
static void check_unused(th__cu_context context, const piece *p) {
  for (size_t i = 0; i < n_past; i++)
    for (struct CUstream_st *s = fake.streams; s != NULL; s = s->next)
      if (s->id == past[i].stream && s->context != context && s->done < past[i].seq &&
          overlaps(&past[i], p->begin, p->begin + p->bytes))
        fake_complain("the context of device %d ends under a %s on stream %d", context->index,
                      past[i].name, s->id);
}

/* What was registered in a context is ordinary memory again when it ends. */
void fake_forget_registered(th__cu_context context) {
  for (size_t i = 0; i < allocations.n;) {
    if (allocations.list[i].by != context) {
      i++;
      continue;
    }
    forget_range(allocations.list[i].begin, allocations.list[i].bytes);
    erase(&allocations, &allocations.list[i]);
  }
}

/* A dead context goes with its memory. */
void fake_forget_context(th__cu_context context) {
  for (size_t i = 0; i < blocks.n;) {
    if (blocks.list[i].context == context)
      erase(&blocks, &blocks.list[i]);
    else
      i++;
  }
  for (size_t i = 0; i < allocations.n;) {
    if (allocations.list[i].context != context) {
      i++;
      continue;
    }
    check_unused(context, &allocations.list[i]);
    forget_range(allocations.list[i].begin, allocations.list[i].bytes);
    free(allocations.list[i].begin);
    erase(&allocations, &allocations.list[i]);
  }
}

void fake_memory_leaks(void) {
  int64_t device = 0, host = 0;
  for (size_t i = 0; i < allocations.n; i++)
    *(allocations.list[i].context != NULL ? &device : &host) += allocations.list[i].bytes;
  if (device > 0) fake_complain("leak: %lld bytes of device memory", (long long)device);
  if (host > 0) fake_complain("leak: %lld bytes of pinned memory", (long long)host);
}

/* ---- copies ---- */

typedef struct copy_arg {
  char *to;
  const char *from;
  size_t bytes;
  uint64_t
      sum; /* of host memory when the copy was issued; 0 = not looked at, as something is to be written there before */
  int value; /* of a fill */
} copy_arg;

static uint64_t sum_of(const char *bytes, size_t n) {
  uint64_t h = 1469598103934665603u;
  for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)bytes[i]) * 1099511628211u;
  return h | 1;
}

static void run_copy(void *arg) {
  copy_arg *c = arg;
  if (c->sum != 0 && sum_of(c->from, c->bytes) != c->sum)
    fake_complain("host memory at %p changed under a copy in", (const void *)c->from);
  memmove(c->to, c->from, c->bytes);
}

static void run_fill(void *arg) {
  copy_arg *c = arg;
  memset(c->to, c->value, c->bytes);
}

/* The address must be memory of that device. */
static void check_side(th__cu_context context, const char *name, const void *address) {
  const piece *p = holding(&allocations, address);
  if (p != NULL && p->context != context)
    fake_complain("%s: %p is not memory of device %d", name, address, context->index);
}

/* from NULL: a fill. in, out: it comes from the host, goes there. */
static th__cu_result enqueue_copy(th__cu_stream stream, const char *name, copy_arg c, bool in,
                                  bool out) {
  fake_lock();
  th__cu_result result = stream->context->dead;
  if (result == TH__CU_SUCCESS) {
    if (!in && c.from != NULL) check_side(stream->context, name, c.from);
    if (!out) check_side(stream->context, name, c.to);
    (void)fake_enqueue(stream, name, c.from == NULL ? run_fill : run_copy, &c, sizeof c);
    if (c.from != NULL) fake_access(stream, name, c.from, (int64_t)c.bytes, false);
    fake_access(stream, name, c.to, (int64_t)c.bytes, true);
    *(c.from == NULL ? &fake.count.fills : &fake.count.copies) += 1;
    fake_some_progress();
  }
  fake_unlock();
  return result;
}

th__cu_result cuMemcpyHtoDAsync_v2(th__cu_address to, const void *from, size_t bytes,
                                   th__cu_stream stream) {
  fake_lock();
  bool settled = !in_use(from, (const char *)from + bytes, true);
  fake_unlock();
  copy_arg c = {(char *)(uintptr_t)to, from, bytes, settled ? sum_of(from, bytes) : 0, 0};
  return enqueue_copy(stream, "copy in", c, true, false);
}

/* Until the copy has run, the host's memory holds nothing that anybody may count on; but pinned memory may be on its way in yet. */
th__cu_result cuMemcpyDtoHAsync_v2(void *to, th__cu_address from, size_t bytes,
                                   th__cu_stream stream) {
  fake_lock();
  if (!in_use(to, (char *)to + bytes, false)) memset(to, 0xCD, bytes);
  fake_unlock();
  copy_arg c = {to, (const char *)(uintptr_t)from, bytes, 0, 0};
  return enqueue_copy(stream, "copy out", c, false, true);
}

th__cu_result cuMemcpyDtoDAsync_v2(th__cu_address to, th__cu_address from, size_t bytes,
                                   th__cu_stream stream) {
  copy_arg c = {(char *)(uintptr_t)to, (const char *)(uintptr_t)from, bytes, 0, 0};
  return enqueue_copy(stream, "copy", c, false, false);
}

th__cu_result cuMemsetD8Async(th__cu_address to, unsigned char value, size_t bytes,
                              th__cu_stream stream) {
  copy_arg c = {(char *)(uintptr_t)to, NULL, bytes, 0, value};
  return enqueue_copy(stream, "fill", c, false, false);
}

th__cu_result cuMemcpyPeerAsync(th__cu_address to, th__cu_context to_context, th__cu_address from,
                                th__cu_context from_context, size_t bytes, th__cu_stream stream) {
  copy_arg c = {(char *)(uintptr_t)to, (const char *)(uintptr_t)from, bytes, 0, 0};
  fake_lock();
  th__cu_result result =
      stream->context->dead != TH__CU_SUCCESS ? stream->context->dead : from_context->dead;
  if (result == TH__CU_SUCCESS) {
    check_side(to_context, "peer copy", c.to);
    check_side(from_context, "peer copy", c.from);
    if (!(stream->context->peers >> from_context->index & 1))
      fake_complain("peer copy: device %d has no access to device %d", to_context->index,
                    from_context->index);
    (void)fake_enqueue(stream, "peer copy", run_copy, &c, sizeof c);
    fake_access(stream, "peer copy", c.from, (int64_t)bytes, false);
    fake_access(stream, "peer copy", c.to, (int64_t)bytes, true);
    fake.count.peer_copies++;
    fake_some_progress();
  }
  fake_unlock();
  return result;
}
