/* What the files of the CUDA device offer each other. Private to devices/cuda/.
 *
 * Three locks. The lanes of a device belong to whoever issues: the engine calls issue(), lane_wait() and point_done() under its own lock
 * of that device. A pool has a mutex, because any thread may take and give memory; it is held alone and never while a body
 * runs. A context changes under the lock of pinned memory, which is taken before those of pools. Counters are read by anybody. */
#ifndef THRUM_DEVICES_CUDA_PARTS_H
#define THRUM_DEVICES_CUDA_PARTS_H

#include "devices/cuda/cuda.h"
#include "devices/cuda/driver.h"
#include "devices/cuda/pool.h"
#include "engine/base/atomic.h"
#include "engine/device.h"

/* --- clock.c --- */

#define TH__CUDA_REFERENCES 4

/* A moment by both clocks. */
typedef struct th__cuda_reference {
  th__cu_event event; /* NULL = none */
  uint64_t ticks;     /* th__ticks() */
  int64_t ns;
  double rate;    /* ticks per ns, the same for all that count from it; 0 = not known yet */
  uint32_t users; /* timings that count from it */
} th__cuda_reference;

/* A body between two events. */
typedef struct th__cuda_timing {
  uint64_t seq;
  th__cu_event start, end;
  th__cuda_reference *reference;
} th__cuda_timing;

typedef struct th__cuda_clock {
  th__cu_stream stream; /* for references; NULL until something is timed */
  th__cuda_reference references[TH__CUDA_REFERENCES];
  uint32_t current;
  uint64_t opened_ticks; /* by both clocks: the longer ago, the better the rate is known */
  int64_t opened_ns;
  th__cu_event *spare;
  uint32_t n_spare, spare_room;
} th__cuda_clock;

/* --- stream.c --- */

/* Everything the lane was given up to seq. */
typedef struct th__cuda_mark {
  th__cu_event event;
  uint64_t seq;
  uint64_t clock[TH__CUDA_LANES]; /* what is done of other lanes when it has passed */
} th__cuda_mark;

typedef struct th__cuda_lane {
  th__cuda_device *device;
  int index;
  th__cu_stream stream;
  /* Written by the GPU (or, without memory operations, by point_done) and read with acquire: what came before on the lane is
   * then visible. In pinned memory. */
  _Atomic uint64_t *counter;
  th__cu_address counter_address; /* for the GPU */
  uint64_t seq;                   /* issued */
  uint64_t covered;               /* the counter will reach this */
  uint64_t known[TH__CUDA_LANES]; /* lane i has reached this for what is issued here from now on */
  th__cuda_mark *marks;           /* a ring, oldest first */
  uint32_t first, count, room;
  th__cu_event *spare; /* events whose mark has passed */
  uint32_t n_spare, spare_room;
  uint64_t seen;            /* of the counter, at the last fruitless poll */
  uint32_t polls;           /* fruitless ones since it moved */
  int64_t asked_ns;         /* when the driver was last asked, or they began */
  uint32_t n_landings;      /* in the device's list */
  th__cuda_timing *timings; /* a ring, oldest first; of bodies while a trace recorded */
  uint32_t timing_first, timing_count, timing_room;
  void *blas; /* handle and workspace, see blas.c */
  void *blas_workspace;
} th__cuda_lane;

th_status th__cuda_lanes_open(th__cuda_device *d);
void th__cuda_lanes_close(th__cuda_device *d);
static inline bool th__cuda_passed(const th__cuda_lane *lane, uint64_t seq) {
  return th__load(lane->counter, TH__ACQUIRE) >= seq; /* pairs with the GPU's write */
}
/* Sees to it that the counter will tell of everything issued so far. */
void th__cuda_cover(th__cuda_lane *lane);
/* Blocks until everything put on the lane so far is done. False when the device is lost. */
bool th__cuda_await(th__cuda_lane *lane);
th_status th__cuda_issue(void *state, int lane, void (*body)(void *arg, void *lane_handle),
                         void *arg, th_point *out);
th_status th__cuda_lane_wait(void *state, int lane, th_point point);
bool th__cuda_point_done(void *state, th_point point);
void th__cuda_lane_flush(void *state, int lane);

/* clock.c: the first around a body, in its context, NULL when it is not to be timed; the second once its number is known. */
th__cu_event th__cuda_time_begin(th__cuda_lane *lane);
void th__cuda_time_end(th__cuda_lane *lane, th__cu_event start);
bool th__cuda_point_times(void *state, th_point point, uint64_t *started, uint64_t *finished);
void th__cuda_clock_open(th__cuda_device *d);
void th__cuda_clock_close(th__cuda_device *d); /* with the context entered, or lost */

/* --- copy.c --- */

/* The host's part of a copy out, to be done when the lane has passed seq. */
typedef struct th__cuda_landing {
  struct th__cuda_landing *next;
  th__cuda_lane *lane;
  uint64_t seq;
  void *to, *staging; /* staging NULL: it arrives without our help */
  size_t bytes;
} th__cuda_landing;

th_status th__cuda_copy_in(void *state, void *lane_handle, void *block, const void *host,
                           int64_t bytes);
th_status th__cuda_copy_out(void *state, void *lane_handle, void *host, const void *block,
                            int64_t bytes);
th_status th__cuda_copy_wait(void *state, void *lane_handle);
bool th__cuda_peer(void *state, void *other);
th_status th__cuda_copy_peer(void *state, void *lane_handle, void *block, void *other,
                             const void *from, int64_t bytes);
/* Does the host's part of the copies out of the lane up to seq, which has passed. False: the device was lost, and tasks before seq
 * may have been told so, so that nothing may come to where they wanted it. */
bool th__cuda_land(th__cuda_lane *lane, uint64_t seq);

/* --- pin.c --- */
th_status th__cuda_pin(void *state, void *memory, int64_t bytes, uint64_t *out);
void th__cuda_unpin(void *state, void *memory, uint64_t pinned);
/* Around every change of a device's context. */
void th__cuda_pins_lock(void);
void th__cuda_pins_unlock(void);

/* --- launch.c --- */

typedef struct th__cuda_loaded {
  const th__cuda_image *image;
  th__cu_module module;
} th__cuda_loaded;

void th__cuda_launch_close(th__cuda_device *d);

/* --- blas.c --- */
void th__cuda_blas_close(th__cuda_lane *lane);

/* --- device.c --- */

struct th__cuda_device {
  int index;
  th__cu_device handle;
  th__cu_context context;   /* changes under the locks of both pools, and the engine's */
  _Atomic uint64_t at_rest; /* 0: the counter of lanes that are closed */
  _Atomic bool open;        /* false: what is given back may be the last of the context */
  uint32_t process;         /* among forks: the one that opened it */
  uint32_t generation;      /* of the context: from 1 */
  uint32_t peers
      [TH__CUDA_DEVICES]; /* generation of the peer to whose memory access is enabled; under the engine's lock */
  _Atomic uint8_t
      reach[TH__CUDA_DEVICES]; /* 0: not asked yet, 1: no access to that peer, 2: access */
  int multiprocessors;
  bool memops; /* counters are written by the GPU */
  th__cuda_pool memory, staging;
  th__cuda_clock clock;
  th__cuda_lane lanes[TH__CUDA_LANES];
  void *counters;                            /* pinned */
  th__cuda_landing *landings, *last_landing; /* in the order of issue; under the engine's lock */
  th__cuda_loaded *images;
  th__cuda_kernel **kernels; /* whose slot of this device is filled */
  uint32_t n_images, images_room, n_kernels, kernels_room;
  /* 1 once the context has failed for good; release pairs with acquire: the text is there. */
  _Atomic uint32_t lost;
  _Atomic uint32_t losing; /* 1: somebody writes the text */
  char lost_text[300];
};

/* Amounts per microsecond of a GPU of 2023, by data sheets; they decide when marks are made early, never what is right. */
#define TH__CUDA_THREADS 100000.0 /* of a kernel: each moves a few dozen bytes */
#define TH__CUDA_FLOPS   40e6     /* of a product */
#define TH__CUDA_MOVED   1e6      /* bytes read and written within the device */
#define TH__CUDA_CROSSED 50e3     /* bytes from or to the host */

/* The body that this thread runs. */
typedef struct th__cuda_body {
  th__cuda_lane *lane; /* NULL = none */
  void **scratch;      /* taken by it */
  uint32_t n_scratch, scratch_room;
  bool touched;     /* something was put on the lane */
  int64_t estimate; /* ns that the GPU will take for it, roughly */
} th__cuda_body;
extern _Thread_local th__cuda_body th__cuda_running;

/* Something is about to be put on the lane: so much of it, and how much a GPU does of that in a microsecond. */
static inline void th__cuda_adds(double amount, double per_us) {
  th__cuda_running.touched = true;
  th__cuda_running.estimate += (int64_t)(amount * 1000 / per_us);
}

static inline bool th__cuda_is_lost(const th__cuda_device *d) {
  return th__load(&d->lost, TH__ACQUIRE) != 0;
}
/* Fails with the reason when the device is lost. */
th_status th__cuda_alive(th__cuda_device *d);
/* TH_OK, or what the result of call `what` means; one that kills the context loses the device. */
th_status th__cuda_check(th__cuda_device *d, th__cu_result result, const char *what);
/* The same of calls that only ask the context how things stand, or wait for that: any answer but "done" and "not ready" loses the
 * device, known by its number or not, as nobody would ever hear of what was issued. */
th_status th__cuda_judge(th__cuda_device *d, th__cu_result result, const char *what);
/* The device's context becomes this thread's, until popped. */
bool th__cuda_push_context(th__cuda_device *d);
void th__cuda_pop_context(th__cuda_device *d);

#endif
