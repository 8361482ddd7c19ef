/* What lanes.c offers the engine: devices that are fed by an issue thread. Private to engine/. */
#ifndef THRUM_ENGINE_LANES_H
#define THRUM_ENGINE_LANES_H

#include "engine/state.h"

th_status th__lanes_open(th__pool_device *device);
void th__lanes_close(th__pool_device *device);
void th__lanes_wake(th__pool_device *device);
/* Resets a lost device; what is issued there fails first. TH_OK when somebody else has. */
th_status th__lanes_reset(th__thread *self, th__pool_device *device);
void th__lanes_push(th__thread *self, th__pool_device *device, th__ref ref);
th__ref th__lanes_take(th__pool_device *device); /* in serial mode: the next ready one; 0 = none */
/* Finishes what has passed; false when nothing is issued. */
bool th__lanes_poll(th__thread *self, th__pool_device *device);
/* Of a task on a lane that finishes: replaces the host's stamps by the device's where it knows better. */
void th__lanes_times(th__pool_device *device, th__task *task, uint64_t *started,
                     uint64_t *finished);
/* A claimed task. False: it found no memory and will be ready again. */
bool th__lanes_issue(th__thread *self, th__task *task);
void th__lanes_run_now(th__thread *self, th__task *task); /* the same, to its end */

#endif
