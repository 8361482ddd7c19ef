/* Owns copies between host memory and a device. Pinned memory of the host is copied as it lies. Pageable memory goes through pinned
 * staging blocks, which the host's workers fill and empty together: on the way in the host's bytes are taken at once, on the way out
 * they land in the host's memory when the engine asks whether the lane has passed. A later body of the same device may be issued
 * before that; what it reads of the host's memory has landed first. All under the engine's lock of the device. */
#include <string.h>

#include "devices/cuda/parts.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"

#define STAGE_BYTES (INT64_C(4) << 20)   /* larger copies go in pieces */
#define SHARE_BYTES (INT64_C(512) << 10) /* of a piece per turn of a worker */
#define ASK_BYTES                                                                                  \
  (INT64_C(64) << 10) /* smaller ones are staged without asking whether they are pinned */

/* ---- bytes ---- */

typedef struct bytes_move {
  char *to;
  const char *from;
} bytes_move;

static void move_share(int64_t first, int64_t last, void *arg) {
  const bytes_move *m = arg;
  memcpy(m->to + first, m->from + first, (size_t)(last - first));
}

static void move_bytes(void *to, const void *from, size_t bytes) {
  bytes_move m = {to, from};
  th__device_loop((int64_t)bytes, SHARE_BYTES, move_share, &m);
}

static bool is_pinned_at(const char *host) {
  int type = 0;
  return th__cu.pointer_attribute(&type, TH__CU_POINTER_MEMORY_TYPE,
                                  (th__cu_address)(uintptr_t)host) == TH__CU_SUCCESS &&
         type == TH__CU_MEMORY_HOST;
}

/* Known to the driver from end to end, whoever pinned it. */
static bool is_pinned(const void *host, int64_t bytes) {
  const char *first = host;
  return bytes >= ASK_BYTES && is_pinned_at(first) && is_pinned_at(first + bytes - 1);
}

/* ---- landing ---- */

static bool overlaps(const th__cuda_landing *l, const void *memory, size_t bytes) {
  uintptr_t a = (uintptr_t)l->to, b = (uintptr_t)memory;
  return a < b + bytes && b < a + l->bytes;
}

/* Takes the landing behind *previous (NULL: the first) out of the list and carries it out. */
static void land_one(th__cuda_device *d, th__cuda_landing *previous, th__cuda_landing *l) {
  *(previous != NULL ? &previous->next : &d->landings) = l->next;
  if (d->last_landing == l) d->last_landing = previous;
  l->lane->n_landings--;
  if (l->staging != NULL) move_bytes(l->to, l->staging, l->bytes);
  th__cuda_pool_give(&d->staging, l->staging);
  th__free(l);
}

/* Carries out what overlaps a piece of host memory and stands before `end` in the list. It was issued earlier and is ordered before
 * whoever asks, so it has passed once that has; on a lost device it may never. */
static void land_before(th__cuda_device *d, const th__cuda_landing *end, const void *memory,
                        size_t bytes) {
  th__cuda_landing *previous = NULL, *next;
  for (th__cuda_landing *l = d->landings; l != NULL && l != end; l = next) {
    next = l->next;
    if (overlaps(l, memory, bytes) && !th__cuda_is_lost(d))
      land_one(d, previous, l);
    else
      previous = l;
  }
}

bool th__cuda_land(th__cuda_lane *lane, uint64_t seq) {
  th__cuda_device *d = lane->device;
  while (lane->n_landings > 0) {
    th__cuda_landing *l = d->landings;
    while (l->lane != lane) l = l->next;
    if (l->seq > seq) return true;                         /* a lane's own are in order */
    if (l->seq < seq && th__cuda_is_lost(d)) return false; /* whose it is may know, and be gone */
    land_before(d, l, l->to, l->bytes);
    th__cuda_landing *previous = NULL;
    for (th__cuda_landing *p = d->landings; p != l; p = p->next) previous = p;
    land_one(d, previous, l);
  }
  return true;
}

/* Waits for a lane and lands everything of it. */
static th_status land_now(th__cuda_lane *lane) {
  if (th__cuda_await(lane) && th__cuda_land(lane, UINT64_MAX)) return TH_OK;
  TH_TRY(th__cuda_alive(lane->device));
  return th__fail(TH_EDEVICE, "cuda:%d has no context", lane->device->index);
}

th_status th__cuda_copy_wait(void *state, void *lane_handle) { return land_now(lane_handle); }

/* The host's memory is about to be used: what is still to land there lands. What arrives there without us needs to be waited for by
 * the host's own accesses only (by_host), since lanes are ordered. */
static th_status land_on(th__cuda_device *d, const void *memory, size_t bytes, bool by_host) {
  for (th__cuda_landing *l = d->landings; l != NULL;) {
    if (!overlaps(l, memory, bytes) || (l->staging == NULL && !by_host)) {
      l = l->next;
      continue;
    }
    TH_TRY(land_now(l->lane));
    l = d->landings; /* the list has changed */
  }
  return TH_OK;
}

/* ---- copies ---- */

/* A staging block; when there is none, everything that is to land does. */
static th_status take_staging(th__cuda_device *d, int64_t bytes, void **out) {
  th_status status = th__cuda_pool_take(&d->staging, bytes, out);
  if (status != TH_ENOMEM) return status;
  for (int i = 0; i < TH__CUDA_LANES; i++)
    if (d->lanes[i].n_landings > 0) TH_TRY(land_now(&d->lanes[i]));
  return th__cuda_pool_take(&d->staging, bytes, out);
}

static th_status copy_piece_in(th__cuda_lane *lane, char *block, const char *host, int64_t bytes) {
  th__cuda_device *d = lane->device;
  void *staging;
  TH_TRY(take_staging(d, bytes, &staging));
  move_bytes(staging, host, (size_t)bytes);
  th_status status = th__cuda_check(
      d, th__cu.copy_in((th__cu_address)(uintptr_t)block, staging, (size_t)bytes, lane->stream),
      "copy in");
  th__cuda_pool_give(&d->staging, staging); /* pending until the lane has passed */
  return status;
}

th_status th__cuda_copy_in(void *state, void *lane_handle, void *block, const void *host,
                           int64_t bytes) {
  th__cuda_lane *lane = lane_handle;
  th__cuda_device *d = lane->device;
  TH_TRY(th__cuda_alive(d));
  bool pinned = is_pinned(host, bytes);
  TH_TRY(land_on(d, host, (size_t)bytes, !pinned));
  th__cuda_adds((double)bytes, TH__CUDA_CROSSED);
  if (pinned)
    return th__cuda_check(
        d, th__cu.copy_in((th__cu_address)(uintptr_t)block, host, (size_t)bytes, lane->stream),
        "copy in");
  for (int64_t at = 0; at < bytes; at += STAGE_BYTES) {
    int64_t piece = bytes - at < STAGE_BYTES ? bytes - at : STAGE_BYTES;
    TH_TRY(copy_piece_in(lane, (char *)block + at, (const char *)host + at, piece));
  }
  return TH_OK;
}

/* With staging NULL the bytes arrive in the host's memory by themselves. */
static th_status copy_piece_out(th__cuda_lane *lane, char *host, const char *block, int64_t bytes,
                                void *staging) {
  th__cuda_device *d = lane->device;
  th__cuda_landing *l = th__zalloc(sizeof *l);
  th_status status = l == NULL ? TH_ENOMEM
                               : th__cuda_check(d,
                                                th__cu.copy_out(staging != NULL ? staging : host,
                                                                (th__cu_address)(uintptr_t)block,
                                                                (size_t)bytes, lane->stream),
                                                "copy out");
  if (status != TH_OK) {
    th__cuda_pool_give(&d->staging, staging);
    th__free(l);
    return status;
  }
  *l = (th__cuda_landing){NULL, lane, lane->seq + 1, host, staging, (size_t)bytes};
  *(d->last_landing != NULL ? &d->last_landing->next : &d->landings) = l;
  d->last_landing = l;
  lane->n_landings++;
  return TH_OK;
}

bool th__cuda_peer(void *state, void *other) {
  th__cuda_device *d = state, *o = other;
  uint8_t reach = th__load(&d->reach[o->index], TH__RELAXED); /* who asks twice gets one answer */
  if (reach == 0) {
    int possible = 0;
    th__cu_result result = th__cu.peer_possible(&possible, d->handle, o->handle);
    reach = result == TH__CU_SUCCESS && possible ? 2 : 1;
    th__store(&d->reach[o->index], reach, TH__RELAXED);
  }
  return reach == 2;
}

/* With d's context entered. Where it is refused the driver copies all the same, on a way of its own. */
static void enable_access(th__cuda_device *d, const th__cuda_device *o) {
  if (d->peers[o->index] == o->generation) return;
  (void)th__cu.peer_enable(o->context, 0);
  d->peers[o->index] = o->generation;
}

/* The other device's context is good as long as it is not lost: a reset waits for the tasks of its peers before it ends one. */
th_status th__cuda_copy_peer(void *state, void *lane_handle, void *block, void *other,
                             const void *from, int64_t bytes) {
  th__cuda_device *d = state, *o = other;
  th__cuda_lane *lane = lane_handle;
  TH_TRY(th__cuda_alive(d));
  TH_TRY(th__cuda_alive(o));
  enable_access(d, o);
  th__cuda_adds((double)bytes, TH__CUDA_CROSSED);
  return th__cuda_check(d,
                        th__cu.copy_peer((th__cu_address)(uintptr_t)block, d->context,
                                         (th__cu_address)(uintptr_t)from, o->context, (size_t)bytes,
                                         lane->stream),
                        "copy from a peer");
}

th_status th__cuda_copy_out(void *state, void *lane_handle, void *host, const void *block,
                            int64_t bytes) {
  th__cuda_lane *lane = lane_handle;
  th__cuda_device *d = lane->device;
  TH_TRY(th__cuda_alive(d));
  th__cuda_adds((double)bytes, TH__CUDA_CROSSED);
  if (is_pinned(host, bytes)) { /* before it arrives, what was issued earlier must have landed */
    TH_TRY(land_on(d, host, (size_t)bytes, false));
    return copy_piece_out(lane, host, block, bytes, NULL);
  }
  for (int64_t at = 0; at < bytes; at += STAGE_BYTES) {
    int64_t piece = bytes - at < STAGE_BYTES ? bytes - at : STAGE_BYTES;
    void *staging;
    TH_TRY(take_staging(d, piece, &staging));
    TH_TRY(copy_piece_out(lane, (char *)host + at, (const char *)block + at, piece, staging));
  }
  return TH_OK;
}
