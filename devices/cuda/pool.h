/* Memory of a CUDA device: a pool of segments, cut into chunks. Private to devices/cuda/; memory.c owns it. A pool has a mutex, because
 * any thread may take and give memory; it is held alone and never while a body runs. */
#ifndef THRUM_DEVICES_CUDA_POOL_H
#define THRUM_DEVICES_CUDA_POOL_H

#include <uv.h>

#include "engine/device.h"

#define TH__CUDA_COMPUTE 8
#define TH__CUDA_LANES   (TH__CUDA_COMPUTE + 2) /* the last two copy in and out */

typedef struct th__cuda_device th__cuda_device;

typedef struct th__cuda_chunk th__cuda_chunk;
typedef struct th__cuda_segment th__cuda_segment;

#define TH__CUDA_ROWS    40 /* a row per doubling from 512 bytes on */
#define TH__CUDA_COLUMNS 8  /* steps of a doubling */
#define TH__CUDA_ARENAS  3  /* small, middle and large blocks lie in segments of their own */

typedef struct th__cuda_arena {
  uint64_t rows;                  /* bit r: columns[r] is not 0 */
  uint8_t columns[TH__CUDA_ROWS]; /* bit c: free[r][c] is not NULL */
  th__cuda_chunk *free[TH__CUDA_ROWS][TH__CUDA_COLUMNS];
  th__cuda_segment *segments;
} th__cuda_arena;

typedef struct th__cuda_pool {
  th__cuda_device *device;
  bool pinned;
  uv_mutex_t lock; /* guards all below */
  th__cuda_arena arenas[TH__CUDA_ARENAS];
  /* Given back while the lane still uses them, oldest first. */
  th__cuda_chunk *pending[TH__CUDA_LANES], *pending_last[TH__CUDA_LANES];
  th__cuda_chunk **table; /* chunks in use by address: open addressing */
  size_t table_room, table_used;
  th__cuda_chunk *spare; /* records to reuse */
  int64_t live, peak, held, limit;
  uint64_t hits, misses;
} th__cuda_pool;

th_status th__cuda_pool_open(th__cuda_pool *pool, th__cuda_device *device, bool pinned,
                             int64_t limit);
/* What is taken comes back later; but not when it is abandoned with its context. Whether nothing is taken. */
bool th__cuda_pool_close(th__cuda_pool *pool, bool abandon);
/* Takes from what is free, what this thread's lane is about to be through with, what has passed, the system; then waits for what is
 * pending. TH_ENOMEM with the figures. */
th_status th__cuda_pool_take(th__cuda_pool *pool, int64_t bytes, void **out);
/* Inside a body the block is free once the lane has passed the body, elsewhere at once. NULL is fine. */
void th__cuda_pool_give(th__cuda_pool *pool, void *block);
/* When the block is abandoned, gone(owner) is called under the pool's lock. */
void th__cuda_pool_own(th__cuda_pool *pool, const void *block, void *owner,
                       void (*gone)(void *owner));
/* Gives the block back if it is still the owner's; NULL: whoever's. */
void th__cuda_pool_give_owned(th__cuda_pool *pool, void *block, const void *owner);
void th__cuda_pool_trim(th__cuda_pool *pool);
void th__cuda_pool_figures(th__cuda_pool *pool, th_memory_info *out);
void th__cuda_pool_set_limit(th__cuda_pool *pool, int64_t bytes);
void th__cuda_pool_reset_peak(th__cuda_pool *pool);
/* For tests: told of every block taken and given. Set while no device is open. */
typedef void (*th__cuda_watch)(void *block, int64_t bytes, bool taken);
extern th__cuda_watch th__cuda_pool_watch;

#endif
