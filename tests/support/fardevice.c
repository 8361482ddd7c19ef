/* Owns the far device's memory: host blocks with one address bit turned, so that a stray access faults. */
#include "support/fardevice.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/atomic.h"

#define FAR_BIT ((uintptr_t)1 << 62)

static _Atomic int64_t live;
static _Atomic int copies_in, copies_out;

static void *turned(const void *address) { return (void *)((uintptr_t)address ^ FAR_BIT); }

static int far_count(void) { return 2; }

static th_status far_open(int index, void **state) {
  static int states[2];
  *state = &states[index];
  return TH_OK;
}

static void far_close(void *state) {}

static th_status far_alloc(void *state, int64_t bytes, void **out) {
  void *block = aligned_alloc(64, ((size_t)bytes + 64) & ~(size_t)63);
  if (!block) return TH_ENOMEM;
  memset(block, 0xA5, (size_t)bytes);
  th__fetch_add(&live, bytes, TH__RELAXED);
  *out = turned(block);
  return TH_OK;
}

static void far_free(void *state, void *block, int64_t bytes) {
  th__fetch_sub(&live, bytes, TH__RELAXED);
  free(turned(block));
}

static void far_memory(void *state, th_memory_info *out) {
  *out = (th_memory_info){.live = th__load(&live, TH__RELAXED), .limit = INT64_C(1) << 30};
}

static void far_set_limit(void *state, int64_t bytes) {}
static void far_trim(void *state) {}
static void far_reset_peak(void *state) {}
static int far_threads(void *state) { return 1; }

static th_status far_copy_in(void *state, void *lane, void *block, const void *host,
                             int64_t bytes) {
  memcpy(turned(block), host, (size_t)bytes);
  th__fetch_add(&copies_in, 1, TH__RELAXED);
  return TH_OK;
}

static th_status far_copy_out(void *state, void *lane, void *host, const void *block,
                              int64_t bytes) {
  memcpy(host, turned(block), (size_t)bytes);
  th__fetch_add(&copies_out, 1, TH__RELAXED);
  return TH_OK;
}

static const th__device_ops far_ops = {
    .name = "far",
    .count = far_count,
    .open = far_open,
    .close = far_close,
    .alloc = far_alloc,
    .free = far_free,
    .memory = far_memory,
    .set_limit = far_set_limit,
    .trim = far_trim,
    .reset_peak = far_reset_peak,
    .threads = far_threads,
    .copy_in = far_copy_in,
    .copy_out = far_copy_out,
};

void far_install(void) { (void)th__device_register(TH_KIND_EXTERNAL, &far_ops); }
th_device far_device(int index) { return (th_device){TH_KIND_EXTERNAL, (int16_t)index}; }
int far_copies_in(void) { return th__load(&copies_in, TH__RELAXED); }
int far_copies_out(void) { return th__load(&copies_out, TH__RELAXED); }
