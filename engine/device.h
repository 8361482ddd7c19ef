/* The interface the engine needs from a device, and the engine's list of open devices. Devices implement it from the floor
 * above and know nothing of arrays or operators.
 *
 * Two forms exist. A *pool* device (cpu) has no lanes: the engine's workers run its task bodies to the end. A *lane* device
 * (streams) is fed by one issue thread of the engine: a body is issued on a lane, in order, and is complete when the lane's
 * point has passed. Later work on the same device is issued behind it and ordered by lane_wait(); everything else waits for
 * completion. Issued never means complete. */
#ifndef THRUM_ENGINE_DEVICE_H
#define THRUM_ENGINE_DEVICE_H

#include "thrum/device.h"
#include "thrum/engine.h"

/* "Lane has reached this sequence number": lane in the upper 16 bits, sequence from 1 in the lower 48. 0 = nothing. */
typedef uint64_t th_point;
#define TH__POINT(lane, seq)  ((th_point)(lane) << 48 | (th_point)(seq))
#define TH__POINT_LANE(point) ((int)((point) >> 48))
#define TH__POINT_SEQ(point)  ((point) & ((UINT64_C(1) << 48) - 1))

enum {
  TH__CAP_HOST_MEMORY = 1, /* blocks are host pointers: CPU kernels can run on them */
  TH__CAP_LANES = 2,       /* a lane device; the lane slots below are required */
  TH__CAP_NO_DATA = 4,     /* meta: no memory, no tasks */
  TH__CAP_ISSUES_NOW =
      8, /* issue() calls bodies inside: one that finds no memory is tried again later */
  TH__CAP_COPY_LANES =
      16 /* behind the compute lanes come one that copies in and one that copies out */
};

typedef struct th__device_ops {
  const char *name; /* "cpu" */
  uint32_t caps;    /* TH__CAP_* */

  int (*count)(void);          /* how many are present */
  const char *(*absent)(void); /* (optional) why there is none, or NULL; for messages */
  th_status (*open)(int index,
                    void **state); /* on first use, under the registry's lock; must not submit */
  void (*close)(void *state);      /* at shutdown, nothing is running */

  /* Memory; NULL with TH__CAP_NO_DATA. Thread-safe. alloc: 64-byte aligned, TH_ENOMEM when limit or system refuse. */
  th_status (*alloc)(void *state, int64_t bytes, void **out);
  void (*free)(void *state, void *block, int64_t bytes);
  /* (optional) For devices that can be reset. own: from now on gone(owner) is called, under the lock of the device's memory, when a
   * reset takes the block away. free_owned: gives the block back unless that has happened, however late it comes. */
  void (*own)(void *state, void *block, void *owner, void (*gone)(void *owner));
  void (*free_owned)(void *state, void *block, void *owner);
  void (*memory)(void *state, th_memory_info *out);
  void (*set_limit)(void *state, int64_t bytes);
  void (*trim)(void *state);
  void (*reset_peak)(void *state);

  /* Pools only. */
  int (*threads)(void *state); /* worker threads the engine shall start */

  /* Lanes only; called by the device's issue thread. */
  int (*lanes)(void *state); /* compute lanes, 1..62 */
  /* Puts body(arg) on a lane behind everything issued there; *out is the point that says it is done. The body may be
   * called now (it launches kernels on the lane) or later, in lane order (the tests' lag device). */
  th_status (*issue)(void *state, int lane, void (*body)(void *arg, void *lane_handle), void *arg,
                     th_point *out);
  th_status (*lane_wait)(void *state, int lane,
                         th_point point); /* later work of lane starts after point */
  /* Must become true when polled often enough, unless the device is lost. */
  bool (*point_done)(void *state, th_point point);
  /* (optional) Somebody waits for what the lane was given so far: point_done() is to tell of it as soon as it has passed. */
  void (*lane_flush)(void *state, int lane);
  /* (optional) While a trace records: when the body of a point that has passed began and ended by the device's clock, in
   * th__ticks(). Asked once per point, in the order of each lane. False: not known, the host's stamps stay. */
  bool (*point_times)(void *state, th_point point, uint64_t *started, uint64_t *finished);
  /* (optional) Why the device will complete nothing more; NULL while it works. Unfinished tasks then fail with this text. */
  const char *(*lost)(void *state);
  /* (optional) Makes everything of a lost device anew but its memory. Nothing is issued, and nothing will be before it returns.
   * TH_EBUSY, TH_EDEVICE: it did not succeed. recovered (optional): until then it is still lost. */
  th_status (*reset)(void *state);
  void (*recovered)(void *state);

  /* (optional) Memory of the host, in whole pages, becomes known to the device, which then copies from and to it without a detour;
   * unpin before it is freed, however late, with what pin answered. Thread-safe. */
  th_status (*pin)(void *state, void *memory, int64_t bytes, uint64_t *out);
  void (*unpin)(void *state, void *memory, uint64_t pinned);

  /* (optional) Copies between host memory and a block, inside a task body of this device; default memcpy, legal with
   * TH__CAP_HOST_MEMORY only. copy_in has read the host's bytes when it returns; pinned ones must stay as they are until the
   * task has finished. What copy_out writes may be looked at when the task has finished, or after copy_wait ((optional): the default is that copy_out waits itself). */
  th_status (*copy_in)(void *state, void *lane_handle, void *block, const void *host,
                       int64_t bytes);
  th_status (*copy_out)(void *state, void *lane_handle, void *host, const void *block,
                        int64_t bytes);
  th_status (*copy_wait)(void *state, void *lane_handle);
  /* (optional) Whether copy_peer works from `other`, a device of the same kind; constant. */
  bool (*peer)(void *state, void *other);
  /* (optional) A copy from a block of another device, inside a task body of this one. */
  th_status (*copy_peer)(void *state, void *lane_handle, void *block, void *other, const void *from,
                         int64_t bytes);
} th__device_ops;

/* As th_parallel_for(), inside a body on a lane or where one ends: the workers of cpu:0 take part, when there are any. */
void th__device_loop(int64_t n, int64_t grain, void (*body)(int64_t first, int64_t last, void *arg),
                     void *arg);
/* Installs the operations of a kind: once per kind, before its first use. TH_EBUSY if the kind is taken. */
th_status th__device_register(th_device_kind kind, const th__device_ops *ops);
/* The operations and state of a device, opened on first use. TH_EDEVICE naming the device if absent. */
th_status th__device_open(th_device d, const th__device_ops **ops, void **state);
/* What th_device_reset() does. */
th_status th__device_reset(th_device d);
/* The operations of a kind, or NULL. Opens nothing. */
const th__device_ops *th__device_kind_ops(int kind);
/* True once any device was opened (th_cpu_split must come before). */
bool th__device_any_open(void);

#endif
