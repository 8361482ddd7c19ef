/* Owns the list of operators, lookup by name, and the kernels that other device kinds have for them. `lock` guards additions;
 * readers need none: a record is in the table before its slot in the index and `count` say so. */
#include "ops/op.h"

#include <string.h>

#include "engine/base/atomic.h"
#include "engine/base/error.h"
#include "ops/cuda/cuda.h"

#define MAX_OPS     1024
#define INDEX_SLOTS 4096 /* a power of two, sparse */

#define TH_FAMILY(family) TH_FAMILY_TABLE(family);
#include "ops/families.def"
#undef TH_FAMILY

static const th_op *const *const families[] = {
#define TH_FAMILY(family) th__family_##family,
#include "ops/families.def"
#undef TH_FAMILY
};

static th__spin lock;
static const th_op *table[MAX_OPS];
static _Atomic int count;                       /* release pairs with the acquire of readers */
static _Atomic uint16_t name_slot[INDEX_SLOTS]; /* index + 1 in table, 0 = empty; same pairing */
static _Atomic(th_kernel) kernels[TH_KIND_COUNT][MAX_OPS];
static _Atomic bool built;

static uint32_t hash_name(const char *name) {
  uint32_t h = 2166136261u;
  for (; *name; name++) h = (h ^ (uint8_t)*name) * 16777619u;
  return h;
}

static int find_index(const char *name) {
  for (uint32_t at = hash_name(name);; at++) {
    int slot = th__load(&name_slot[at % INDEX_SLOTS], TH__ACQUIRE);
    if (slot == 0) return -1;
    if (strcmp(table[slot - 1]->name, name) == 0) return slot - 1;
  }
}

/* Under lock. A name at index n is that of an addition cut short by a fork, and taken over. */
static th_status append(const th_op *op) {
  int n = th__load(&count, TH__RELAXED), known = find_index(op->name);
  if (known >= 0 && known < n)
    return th__fail(TH_EBUSY, "op_register: operator '%s' exists already", op->name);
  if (n == MAX_OPS)
    return th__fail(TH_ENOMEM, "op_register: no room for more than %d operators", MAX_OPS);
  table[n] = op;
  uint32_t at = hash_name(op->name);
  while (known < 0 && th__load(&name_slot[at % INDEX_SLOTS], TH__RELAXED) != 0) at++;
  if (known < 0) th__store(&name_slot[at % INDEX_SLOTS], (uint16_t)(n + 1), TH__RELEASE);
  th__store(&count, n + 1, TH__RELEASE);
  return TH_OK;
}

static void ensure_built(void) {
  if (th__load(&built, TH__ACQUIRE)) return;
  th__spin_lock(&lock);
  if (!th__load(&built, TH__RELAXED)) {
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
      for (const th_op *const *op = families[f]; *op; op++) (void)append(*op);
    th__store(&built, true, TH__RELEASE);
  }
  th__spin_unlock(&lock);
}

int th__op_count(void) {
  ensure_built();
  return th__load(&count, TH__ACQUIRE);
}

const th_op *th__op_at(int index) {
  return index >= 0 && index < th__op_count() ? table[index] : NULL;
}

const th_op *th__op_find(const char *name) {
  ensure_built();
  int index = find_index(name);
  return index < 0 ? NULL : table[index];
}

th_status th__op_add(const th_op *op) {
  ensure_built();
  th__spin_lock(&lock);
  th_status status = append(op);
  th__spin_unlock(&lock);
  return status;
}

th_kernel th__kernel_get(const th_op *op, int kind) {
  const th__device_ops *device = th__device_kind_ops(kind);
  if (device && (device->caps & TH__CAP_HOST_MEMORY)) return op->cpu;
  if (kind < 0 || kind >= TH_KIND_COUNT) return NULL;
  ensure_built();
  if (kind == TH_CUDA) th__cuda_kernels_ensure();
  int index = find_index(op->name);
  return index < 0 ? NULL : th__load(&kernels[kind][index], TH__ACQUIRE);
}

void th__kernel_set(const th_op *op, int kind, th_kernel kernel) {
  ensure_built();
  int index = find_index(op->name);
  if (index >= 0 && kind >= 0 && kind < TH_KIND_COUNT)
    th__store(&kernels[kind][index], kernel, TH__RELEASE);
}
