/* Owns plain memory: which accesses race, the arena of blocks, sparse mappings. The compiler's instrumentation for the thread
 * sanitizer calls the functions at the end of this file; its own run-time library is not linked. */
#include "tests/explore/core.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* --- races: per eight bytes the last accesses, as the thread sanitizer itself keeps them --- */

#define CELLS  (1u << 16)
#define RECENT 6

typedef struct access {
  uint32_t time;
  uint8_t thread, mask, kind;
  const ex_place *near; /* the atomic operation before it */
} access;

static struct {
  uintptr_t granule;
  uint32_t schedule;
  uint8_t n;
  bool atomic;
  access recent[RECENT];
} cells[CELLS];
static uint32_t schedule, n_cells;

static bool writes(int kind) { return kind == EX_WRITE || kind == EX_ATOMIC_WRITE; }
static bool is_atomic(int kind) { return kind == EX_ATOMIC_READ || kind == EX_ATOMIC_WRITE; }

static uint32_t cell_of(uintptr_t granule) {
  uint32_t i = (uint32_t)(granule * UINT64_C(0x9e3779b97f4a7c15) >> 40) % CELLS;
  while (cells[i].schedule == schedule && cells[i].granule != granule) i = (i + 1) % CELLS;
  if (cells[i].schedule != schedule) {
    if (++n_cells > CELLS / 2) ex_fail("too much memory in one schedule");
    cells[i].schedule = schedule;
    cells[i].granule = granule;
    cells[i].n = 0;
    cells[i].atomic = false;
  }
  return i;
}

static void report(const volatile void *p, const access *a, int kind, const void *pc) {
  static const char *const names[] = {"read", "write", "atomic read", "atomic write"};
  static const ex_place nowhere = {"the start", "", 0};
  const ex_place *mine = ex.threads[ex.running].at ? ex.threads[ex.running].at : &nowhere;
  const ex_place *other = a->near ? a->near : &nowhere;
  ex_fail("race on %p: %s of thread %d (behind '%s' %s:%d, code at %p) and %s of thread %d (behind "
          "'%s' %s:%d)",
          (const void *)(uintptr_t)p, names[kind], ex.running, mine->text, mine->file, mine->line,
          pc, names[a->kind], a->thread, other->text, other->file, other->line);
}

static void granule_access(uintptr_t granule, uint8_t mask, int kind, const void *pc) {
  uint32_t c = cell_of(granule);
  const ex_thread *t = &ex.threads[ex.running];
  access now = {t->happened.at[ex.running], (uint8_t)ex.running, mask, (uint8_t)kind, t->at};
  int slot = -1;
  for (int i = 0; i < cells[c].n; i++) {
    access *a = &cells[c].recent[i];
    bool ordered = t->happened.at[a->thread] >= a->time;
    if ((a->mask & mask) != 0 && !ordered && (writes(a->kind) || writes(kind)) &&
        !(is_atomic(a->kind) && is_atomic(kind)))
      report((const volatile void *)granule, a, kind, pc);
    bool covered = ordered && (a->mask & ~mask) == 0 && (writes(kind) || a->kind == kind);
    if (slot < 0 && covered) slot = i;
  }
  if (is_atomic(kind)) cells[c].atomic = true;
  if (kind == EX_WRITE &&
      cells[c].atomic) /* only the bytes written: neighbours keep their history */
    ex_memory_overwritten(granule + (uintptr_t)__builtin_ctz(mask),
                          granule + 32 - (uintptr_t)__builtin_clz(mask));
  if (slot < 0) slot = cells[c].n < RECENT ? cells[c].n++ : (int)(now.time % RECENT);
  cells[c].recent[slot] = now;
}

/* --- the arena: blocks are never used twice in one schedule --- */

#define ARENA_BYTES ((size_t)64 << 20)
#define UNIT        16 /* a block begins and ends at a multiple, with one unit free behind it */
#define MAP_BYTES   ((size_t)16 << 30)
#define PAGE        4096

static char *arena, *maps;
static size_t arena_used, maps_used;
static uint8_t *units;       /* per unit: 0 = no block, 1 = live, 2 = freed */
static uint32_t *page_dirty; /* per page of maps: the schedule that touched it */
static uint32_t *dirty;      /* the pages that this schedule touched */
static uint32_t n_dirty;

static void *reserve(uintptr_t at, size_t bytes) {
  void *p = mmap((void *)at, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) abort();
  return p;
}

/* The same addresses in every run, so that a schedule can be run again. */
static void open_once(void) {
  if (arena != NULL) return;
  arena = reserve(UINT64_C(0x100000000000), ARENA_BYTES);
  maps = reserve(UINT64_C(0x110000000000), MAP_BYTES);
  units = reserve(0, ARENA_BYTES / UNIT);
  page_dirty = reserve(0, MAP_BYTES / PAGE * sizeof *page_dirty);
  dirty = reserve(0, MAP_BYTES / PAGE * sizeof *dirty);
}

void ex_plain_reset(void) {
  open_once();
  schedule++;
  n_cells = 0;
  memset(arena, 0, arena_used);
  memset(units, 0, arena_used / UNIT);
  arena_used = maps_used = 0;
  for (uint32_t i = 0; i < n_dirty; i++) memset(maps + (size_t)dirty[i] * PAGE, 0, PAGE);
  n_dirty = 0;
}

void *ex_alloc(size_t bytes) {
  size_t n = (bytes + UNIT - 1) / UNIT + (bytes == 0);
  if (arena_used + (n + 2) * UNIT > ARENA_BYTES) ex_fail("the explorer's arena is full");
  char *block = arena + arena_used + UNIT;
  memcpy(block - UNIT, &n, sizeof n);
  memset(units + (size_t)(block - arena) / UNIT, 1, n);
  arena_used += (n + 2) * UNIT;
  return block;
}

static size_t block_units(const char *block) {
  size_t n;
  if (block < arena || block >= arena + arena_used || units[(size_t)(block - arena) / UNIT] != 1)
    ex_fail("free of what is no live block");
  memcpy(&n, block - UNIT, sizeof n);
  return n;
}

void ex_free(void *block) {
  if (block == NULL) return;
  size_t n = block_units(block);
  /* Freeing is a write to all of it: who uses it without order races. */
  ex_plain_access(block, n * UNIT, EX_WRITE, __builtin_return_address(0));
  memset(units + (size_t)((char *)block - arena) / UNIT, 2, n);
}

void *ex_resize(void *block, size_t bytes) {
  void *moved = ex_alloc(bytes);
  if (block == NULL) return moved;
  size_t old = block_units(block) * UNIT;
  ex_plain_access(block, old, EX_READ, __builtin_return_address(0));
  memcpy(moved, block, old < bytes ? old : bytes);
  ex_free(block);
  return moved;
}

void *ex_map(size_t bytes) {
  char *p = maps + maps_used;
  maps_used += (bytes + 2 * PAGE - 1) / PAGE * PAGE;
  if (maps_used > MAP_BYTES) ex_fail("the explorer's mappings are full");
  return p;
}

void ex_map_forget(void *p, size_t bytes) {
  for (uint32_t i = 0; i < n_dirty; i++) {
    char *page = maps + (size_t)dirty[i] * PAGE;
    if (page < (char *)p || page >= (char *)p + bytes) continue;
    ex_plain_access(page, PAGE, EX_ATOMIC_WRITE, __builtin_return_address(0));
    memset(page, 0, PAGE);
  }
}

static void check_home(const volatile char *p, size_t size, int kind) {
  if (p >= arena && p < arena + ARENA_BYTES) {
    size_t last = (size_t)(p + size - 1 - arena) / UNIT;
    for (size_t i = (size_t)(p - arena) / UNIT; i <= last; i++)
      if (units[i] != 1) ex_fail(units[i] == 2 ? "use of a freed block" : "use beyond a block");
  } else if (p >= maps && p < maps + maps_used && kind != EX_READ) {
    uint32_t i = (uint32_t)((size_t)(p - maps) / PAGE);
    if (page_dirty[i] == schedule) return;
    page_dirty[i] = schedule;
    dirty[n_dirty++] = i;
  }
}

void ex_plain_access(const volatile void *p, size_t size, ex_access kind, const void *pc) {
  if (ex.live == 0 || size == 0 || ex_private(p)) return;
  check_home(p, size, kind);
  if (ex.live == 1) { /* all others have ended, or will be born knowing it */
    if (kind == EX_WRITE && size <= 8) ex_memory_overwritten((uintptr_t)p, (uintptr_t)p + size);
    return;
  }
  uintptr_t from = (uintptr_t)p, to = from + size;
  while (from < to) {
    uintptr_t granule = from & ~(uintptr_t)7, end = granule + 8 < to ? granule + 8 : to;
    uint8_t mask = (uint8_t)(((1u << (end - granule)) - 1) & ~((1u << (from - granule)) - 1));
    granule_access(granule, mask, kind, pc);
    from = end;
  }
}

/* --- what instrumented code calls --- */

#define HOOK(name, size, kind)                                                                     \
  void __tsan_##name(void *p);                                                                     \
  void __tsan_##name(void *p) { ex_plain_access(p, size, kind, __builtin_return_address(0)); }
#define HOOKS(size)                                                                                \
  HOOK(read##size, size, EX_READ)                                                                  \
  HOOK(write##size, size, EX_WRITE)                                                                \
  HOOK(unaligned_read##size, size, EX_READ) HOOK(unaligned_write##size, size, EX_WRITE)
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

void __tsan_init(void);
void __tsan_init(void) {}
void __tsan_func_entry(void *pc);
void __tsan_func_entry(void *pc) {}
void __tsan_func_exit(void);
void __tsan_func_exit(void) {}
void __tsan_read_range(void *p, size_t size);
void __tsan_read_range(void *p, size_t size) {
  ex_plain_access(p, size, EX_READ, __builtin_return_address(0));
}
void __tsan_write_range(void *p, size_t size);
void __tsan_write_range(void *p, size_t size) {
  ex_plain_access(p, size, EX_WRITE, __builtin_return_address(0));
}

/* Atomic variables that are read or assigned without a macro: sequentially consistent, as C11 says. */
static const ex_place direct = {"direct access", "", 0};
#define ATOMIC_HOOKS(bits)                                                                         \
  uint##bits##_t __tsan_atomic##bits##_load(const volatile void *p, int order);                    \
  uint##bits##_t __tsan_atomic##bits##_load(const volatile void *p, int order) {                   \
    return (uint##bits##_t)ex_load(&direct, p, bits / 8, EX_SEQ_CST);                              \
  }                                                                                                \
  void __tsan_atomic##bits##_store(volatile void *p, uint##bits##_t value, int order);             \
  void __tsan_atomic##bits##_store(volatile void *p, uint##bits##_t value, int order) {            \
    ex_store(&direct, p, bits / 8, value, EX_SEQ_CST);                                             \
  }
ATOMIC_HOOKS(8)
ATOMIC_HOOKS(16)
ATOMIC_HOOKS(32)
ATOMIC_HOOKS(64)
