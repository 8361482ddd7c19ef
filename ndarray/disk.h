/* Owns the thread on which files are written, so that no worker waits for a disk. */
#ifndef THRUM_NDARRAY_DISK_H
#define THRUM_NDARRAY_DISK_H

#include "thrum/base.h"

/* One thing to do there, embedded in the caller's record: run is called once, under no lock, and may free that record. */
typedef struct th__disk_call {
  struct th__disk_call *next; /* under the lock while queued */
  void (*run)(struct th__disk_call *call);
} th__disk_call;

/* Queues a call; calls are run one after the other in order. The first one starts the thread: TH_ENOMEM. Only inside a task
 * that ends no earlier than the call, so that the thread is idle at shutdown. */
th_status th__disk_post(th__disk_call *call);

#endif
