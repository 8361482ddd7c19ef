/* Owns the CUDA devices: opening and closing them, what a driver's answer means, and the table of the interface. Opening and closing
 * happen under the engine's lock for that. A device is never freed, because arrays may outlive the engine and give their blocks back
 * later; its context is kept as long as such blocks are out. */
#include <stdio.h>
#include <string.h>

#include "devices/cuda/device.h"

#include "devices/cuda/parts.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"

#define STAGING_LIMIT (INT64_C(64) << 20)

static th__cuda_device devices[TH__CUDA_DEVICES];

/* ---- what the driver answers ---- */

/* After these the context answers nothing else any more. */
static bool is_fatal(th__cu_result result) {
  switch (result) {
  case TH__CU_DEINITIALIZED:
  case TH__CU_UNCORRECTABLE_ECC:
  case TH__CU_UNCORRECTABLE_NVLINK:
  case TH__CU_ILLEGAL_ADDRESS:
  case TH__CU_LAUNCH_TIMEOUT:
  case TH__CU_CONTEXT_IS_DESTROYED:
  case TH__CU_ASSERT:
  case TH__CU_HARDWARE_STACK_ERROR:
  case TH__CU_ILLEGAL_INSTRUCTION:
  case TH__CU_MISALIGNED_ADDRESS:
  case TH__CU_INVALID_ADDRESS_SPACE:
  case TH__CU_INVALID_PC:
  case TH__CU_CONTAINED:
  case TH__CU_TENSOR_MEMORY_LEAK:
  case TH__CU_LAUNCH_FAILED: return true;
  default: return false;
  }
}

th_status th__cuda_alive(th__cuda_device *d) {
  return th__cuda_is_lost(d) ? th__fail(TH_EDEVICE, "%s", d->lost_text) : TH_OK;
}

static th_status lose(th__cuda_device *d, th__cu_result result, const char *what) {
  char text[200];
  for (uint32_t none = 0; !th__cas(&d->losing, &none, 1, TH__ACQ_REL); none = 0) {
    if (th__cuda_is_lost(d)) return th__cuda_alive(d);
    th__yield(); /* somebody else has met it first, or a reset is about to end */
  }
  snprintf(d->lost_text, sizeof d->lost_text, "cuda:%d is lost: %s, met at %.60s", d->index,
           th__cuda_result_text(result, text, sizeof text), what);
  th__store(&d->lost, 1, TH__RELEASE); /* pairs with th__cuda_is_lost() */
  return th__cuda_alive(d);
}

th_status th__cuda_check(th__cuda_device *d, th__cu_result result, const char *what) {
  char text[200];
  if (result == TH__CU_SUCCESS) return TH_OK;
  if (is_fatal(result)) return lose(d, result, what);
  return th__fail(result == TH__CU_OUT_OF_MEMORY ? TH_ENOMEM : TH_EKERNEL, "cuda:%d: %s: %s",
                  d->index, what, th__cuda_result_text(result, text, sizeof text));
}

th_status th__cuda_judge(th__cuda_device *d, th__cu_result result, const char *what) {
  return result == TH__CU_SUCCESS || result == TH__CU_NOT_READY ? TH_OK : lose(d, result, what);
}

bool th__cuda_push_context(th__cuda_device *d) {
  return d->context != NULL &&
         th__cuda_judge(d, th__cu.context_push(d->context), "context") == TH_OK;
}

void th__cuda_pop_context(th__cuda_device *d) {
  th__cu_context context;
  (void)th__cu.context_pop(&context);
}

static const char *cuda_lost(void *state) {
  th__cuda_device *d = state;
  return th__cuda_is_lost(d) ? d->lost_text : NULL;
}

/* ---- life ---- */

static int cuda_count(void) {
  int n = 0;
  if (th__cuda_absent() != NULL || th__cu.device_count(&n) != TH__CU_SUCCESS || n < 0) return 0;
  return n < TH__CUDA_DEVICES ? n : TH__CUDA_DEVICES;
}

/* With the context entered. */
static th_status open_parts(th__cuda_device *d) {
  int processors = 0, memops = 0;
  size_t total = 0;
  TH_TRY(th__cuda_check(d, th__cu.device_attribute(&processors, TH__CU_MULTIPROCESSORS, d->handle),
                        "attributes"));
  if (th__cu.device_attribute(&memops, TH__CU_64_BIT_MEMOPS, d->handle) != TH__CU_SUCCESS)
    memops = 0;
  TH_TRY(th__cuda_check(d, th__cu.device_memory(&total, d->handle), "memory size"));
  d->multiprocessors = processors;
  d->memops = memops != 0 && th__cu.write_value != NULL;
  th__cuda_clock_open(d);
  TH_TRY(th__cuda_pool_open(&d->memory, d, false, (int64_t)(total / 10 * 9)));
  TH_TRY(th__cuda_pool_open(&d->staging, d, true, STAGING_LIMIT));
  return th__cuda_lanes_open(d);
}

/* No thread is inside the driver with the device's context when it changes. Returns the old one. */
static th__cu_context set_context(th__cuda_device *d, th__cu_context context) {
  th__cuda_pins_lock();
  if (d->memory.device != NULL) uv_mutex_lock(&d->memory.lock);
  if (d->staging.device != NULL) uv_mutex_lock(&d->staging.lock);
  th__cu_context old = d->context;
  d->context = context;
  if (context != NULL) d->generation++;
  if (d->staging.device != NULL) uv_mutex_unlock(&d->staging.lock);
  if (d->memory.device != NULL) uv_mutex_unlock(&d->memory.lock);
  th__cuda_pins_unlock();
  return old;
}

/* The context goes when nothing of it is used any more. */
static void release_context(th__cuda_device *d) {
  if (set_context(d, NULL) != NULL) (void)th__cu.context_release(d->handle);
}

static th_status retain_context(th__cuda_device *d) {
  th__cu_context context = NULL;
  TH_TRY(th__cuda_check(d, th__cu.context_retain(&context, d->handle), "context"));
  (void)set_context(d, context);
  memset(d->peers, 0, sizeof d->peers);
  return TH_OK;
}

/* Nothing runs. With the context entered, or lost. Whether nothing uses the context any more. */
static bool close_parts(th__cuda_device *d) {
  th__cuda_clock_close(d);
  th__cuda_lanes_close(d);
  th__cuda_launch_close(d);
  for (th__cuda_landing *l; (l = d->landings) != NULL;) { /* of a lost device */
    d->landings = l->next;
    l->lane->n_landings--;
    th__cuda_pool_give(&d->staging, l->staging);
    th__free(l);
  }
  d->last_landing = NULL;
  if (d->staging.device != NULL) (void)th__cuda_pool_close(&d->staging, true);
  bool unused = d->memory.device == NULL || th__cuda_pool_close(&d->memory, th__cuda_is_lost(d));
  for (int i = 0; i < TH__CUDA_LANES; i++) d->lanes[i].counter = &d->at_rest;
  if (d->counters != NULL) (void)th__cu.host_free(d->counters);
  d->counters = NULL;
  return unused;
}

/* Held while a device opens or closes. Spinning, because a forked child must not find it taken. */
static th__spin life;

/* Under `life`. Who gives memory back before the pool closes is seen there; who does so later, as the pool's lock orders it, sees
 * that the device is not open any more, and closes the rest. */
static void close_device(th__cuda_device *d) {
  th__store(&d->open, false, TH__RELAXED);
  bool entered = th__cuda_push_context(d), unused = close_parts(d);
  if (entered) th__cuda_pop_context(d);
  if (unused) release_context(d);
}

static void cuda_close(void *state) {
  th__spin_lock(&life);
  close_device(state);
  th__spin_unlock(&life);
}

/* An array that outlived the engine gave its memory back. */
static void close_rest(th__cuda_device *d) {
  th__spin_lock(&life);
  if (!th__load(&d->open, TH__RELAXED) && th__cuda_pool_close(&d->memory, false))
    release_context(d);
  th__spin_unlock(&life);
}

static th_status open_in_context(th__cuda_device *d) {
  TH_TRY(th__cuda_check(d, th__cu.context_push(d->context), "context"));
  th_status status = open_parts(d);
  th__cuda_pop_context(d);
  return status;
}

/* Under `life`. */
static th_status open_device(int index, void **state) {
  th__cuda_device *d = &devices[index];
  d->index = index;
  d->process = th__load(&th__spin_process, TH__RELAXED);
  th__store(&d->lost, 0, TH__RELAXED);
  th__store(&d->losing, 0, TH__RELAXED);
  for (int i = 0; i < TH__CUDA_DEVICES; i++) th__store(&d->reach[i], 0, TH__RELAXED);
  TH_TRY(th__cuda_check(d, th__cu.device_get(&d->handle, index), "device"));
  if (d->context == NULL) TH_TRY(retain_context(d));
  th_status status = open_in_context(d);
  th__store(&d->open, status == TH_OK, TH__RELAXED);
  if (status == TH_OK)
    *state = d;
  else
    close_device(d);
  return status;
}

static th_status cuda_open(int index, void **state) {
  TH_TRY(th__cuda_present());
  th__spin_watch_forks();
  th__spin_lock(&life);
  th_status status = open_device(index, state);
  th__spin_unlock(&life);
  return status;
}

/* ---- reset ---- */

static void close_lost(th__cuda_device *d) {
  bool entered = th__cuda_push_context(d);
  (void)close_parts(d);
  if (entered) th__cuda_pop_context(d);
  release_context(d);
}

/* A primary context belongs to the whole process: it ends when the last one lets go. */
static bool is_held_by_others(const th__cuda_device *d) {
  unsigned flags = 0;
  int active = 0;
  return th__cu.context_state != NULL &&
         th__cu.context_state(d->handle, &flags, &active) == TH__CU_SUCCESS && active != 0;
}

/* The device is lost, and stays so: meanwhile calls fail with the old text. */
static th_status cuda_reset(void *state) {
  th__cuda_device *d = state;
  th_memory_info before;
  th__cuda_pool_figures(&d->memory, &before);
  close_lost(d);
  if (is_held_by_others(d))
    return th__fail(TH_EBUSY,
                    "device_reset: cuda:%d: another part of this process holds the context",
                    d->index);
  th_status status = retain_context(d);
  if (status == TH_OK) status = open_in_context(d);
  if (status != TH_OK) {
    char why[TH__ERROR_TEXT];
    snprintf(why, sizeof why, "%s", th_last_error());
    close_lost(d);
    return th__fail(status, "device_reset: no new context: %s", why);
  }
  th__cuda_pool_set_limit(&d->memory, before.limit);
  return TH_OK;
}

static void cuda_recovered(void *state) {
  th__cuda_device *d = state;
  th__store(&d->lost, 0, TH__RELEASE); /* first: who loses it anew waits for the other */
  th__store(&d->losing, 0, TH__RELEASE);
}

/* ---- the table ---- */

/* A forked child must not touch its parent's device, nor locks that a thread of the parent may have held. */
static bool is_foreign(const th__cuda_device *d) {
  return d->process != th__load(&th__spin_process, TH__RELAXED);
}

static th_status cuda_alloc(void *state, int64_t bytes, void **out) {
  th__cuda_device *d = state;
  return th__cuda_pool_take(&d->memory, bytes, out);
}

static void cuda_free(void *state, void *block, int64_t bytes) {
  th__cuda_device *d = state;
  if (!is_foreign(d)) th__cuda_pool_give(&d->memory, block);
}

static void cuda_own(void *state, void *block, void *owner, void (*gone)(void *owner)) {
  th__cuda_pool_own(&((th__cuda_device *)state)->memory, block, owner, gone);
}

static void cuda_free_owned(void *state, void *block, void *owner) {
  th__cuda_device *d = state;
  if (is_foreign(d)) return;
  th__cuda_pool_give_owned(&d->memory, block, owner);
  if (!th__load(&d->open, TH__RELAXED)) close_rest(d);
}

static void cuda_memory(void *state, th_memory_info *out) {
  th__cuda_pool_figures(&((th__cuda_device *)state)->memory, out);
}

static void cuda_set_limit(void *state, int64_t bytes) {
  th__cuda_pool_set_limit(&((th__cuda_device *)state)->memory, bytes);
}

static void cuda_trim(void *state) {
  th__cuda_pool_trim(&((th__cuda_device *)state)->memory);
  th__cuda_pool_trim(&((th__cuda_device *)state)->staging);
}

static void cuda_reset_peak(void *state) {
  th__cuda_pool_reset_peak(&((th__cuda_device *)state)->memory);
}

static int cuda_lanes(void *state) { return TH__CUDA_COMPUTE; }

const th__device_ops th__cuda_ops = {
    .name = "cuda",
    .caps = TH__CAP_LANES | TH__CAP_ISSUES_NOW | TH__CAP_COPY_LANES,
    .count = cuda_count,
    .absent = th__cuda_absent,
    .open = cuda_open,
    .close = cuda_close,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .own = cuda_own,
    .free_owned = cuda_free_owned,
    .memory = cuda_memory,
    .set_limit = cuda_set_limit,
    .trim = cuda_trim,
    .reset_peak = cuda_reset_peak,
    .lanes = cuda_lanes,
    .issue = th__cuda_issue,
    .lane_wait = th__cuda_lane_wait,
    .point_done = th__cuda_point_done,
    .lane_flush = th__cuda_lane_flush,
    .point_times = th__cuda_point_times,
    .lost = cuda_lost,
    .reset = cuda_reset,
    .recovered = cuda_recovered,
    .pin = th__cuda_pin,
    .unpin = th__cuda_unpin,
    .copy_in = th__cuda_copy_in,
    .copy_out = th__cuda_copy_out,
    .copy_wait = th__cuda_copy_wait,
    .peer = th__cuda_peer,
    .copy_peer = th__cuda_copy_peer,
};
