/* The fake CUDA driver: a shared library with the symbols of libcuda.so.1 that Thrum uses, over host memory. Streams are queues;
 * commands run inside driver calls, in an order that a seed picks, hostile but legal. Checked all the while: whether every two accesses
 * to the same memory are ordered by streams, events and what the host may know; use of memory given back; host memory that
 * changes under a copy; leaks. Its results are called fake: nothing here says that a GPU would agree.
 *
 * Settings come from the environment (FAKE_CUDA="seed=3 devices=2 ...") or from fake_set(), which tests find by dlsym().
 *
 * Kernels: cuModuleGetFunction() resolves NAME to functions of a host library that fake_kernels() or FAKE_CUDA_KERNELS names:
 *   void fake_kernel_NAME(void **params, const unsigned grid[3], const unsigned block[3], unsigned shared_bytes);
 *   const char fake_access_NAME[];           (optional) per parameter r, w, b: address read, written, both; v: value
 *   const unsigned short fake_sizes_NAME[];  (optional) bytes per parameter, 0 at the end
 * Without sizes the parameters cannot be kept, so the kernel runs at its launch, after all that it must wait for. Without access the
 * checker does not see it. */
#ifndef THRUM_TESTS_FAKECUDA_FAKECUDA_H
#define THRUM_TESTS_FAKECUDA_FAKECUDA_H

#include <stddef.h>
#include <stdint.h>

/* Settings: our name, default. */
#define FAKE_SETTINGS(X)                                                                           \
  X(seed, 1)                                                                                       \
  X(threads, 0) /* commands are run by so many threads, whenever they come to it; no mode then */  \
  X(devices, 1) /* 0..4 */                                                                         \
  X(mode, 0)    /* fake_mode */                                                                    \
  X(version, 13000)    /* of the driver */                                                         \
  X(memory, 256 << 20) /* bytes of each device */                                                  \
  X(memops, 1)         /* 0 = no cuStreamWriteValue64 */                                           \
  X(fail_alloc, 0)     /* the n-th cuMemAlloc from now on finds no memory */                       \
  X(fail_host, 0)      /* the n-th cuMemHostAlloc */                                               \
  X(fail_launch, 0)    /* the n-th launch is refused */                                            \
  X(fail_event, 0)     /* the n-th event is not made */                                            \
  X(kill, 0)           /* the n-th command run from now on kills its device's context */           \
  X(kill_device, 0)    /* d + 1: the next command run on device d kills its context */             \
  X(error, 700)        /* which error that is */                                                   \
  X(slow, 0)           /* ns that each kernel takes at least */                                    \
  X(peers, 1)          /* 0: devices do not reach each other's memory */                           \
  X(hold, 0)           /* d + 1: device d runs nothing for now */                                  \
  X(held, 0)           /* 1: another library of the process holds all contexts */                  \
  X(fail_context, 0)   /* the n-th context is not made */                                          \
  X(stay_dead, 0)      /* the n-th context that is made is dead */                                 \
  X(drop_wait, 0)      /* the n-th wait for an event is forgotten: tests of the checker */

typedef enum fake_mode {
  FAKE_MIXED,  /* moods change: any order, newest first, one stream starved, nothing for a while */
  FAKE_RANDOM, /* any order, something at every call */
  FAKE_LATE,   /* only what somebody waits for */
  FAKE_STARVE  /* one stream of four only when nothing else is left */
} fake_mode;

/* What it counts: launches, copies, peer_copies, fills, writes, waits, records (timed: of events that tell the time), allocs, frees, host_allocs, registers, commands, queries, syncs, races. */

/* Begins anew: default settings, no reports, counts of 0. Streams and memory stay. */
void fake_reset(uint64_t seed);
/* 0, or -1 for an unknown name. */
int fake_set(const char *name, int64_t value);
int fake_kernels(const char *path);
int64_t fake_count(const char *name); /* -1 for an unknown one */
/* What was found wrong since the reset, a line each; "" = nothing. With leaks: what is still allocated counts, too. */
const char *fake_report(int leaks);
/* Blocks inside of allocations, for pools: what is taken is filled with 0xFF, what is given back with 0xDB, and may not be used. */
void fake_block(void *block, int64_t bytes, int taken);

/* For libraries on top (the fake cuBLAS): a command that runs fn(copy of arg). */
typedef struct fake_range {
  const void *begin;
  int64_t bytes;
  int writes;
} fake_range;
struct CUstream_st;
int fake_command(struct CUstream_st *stream, const char *name, void (*fn)(void *arg),
                 const void *arg, size_t bytes, const fake_range *ranges, int n);

#endif
