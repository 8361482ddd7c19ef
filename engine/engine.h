/* What the floors above may ask of the engine beyond the public thrum/engine.h. */
#ifndef THRUM_ENGINE_ENGINE_H
#define THRUM_ENGINE_ENGINE_H

#include "engine/device.h"
#include "engine/var.h"

/* Starts the engine with defaults if it does not run. TH_EFORK in a forked child, TH_ESHUTDOWN during process exit. */
th_status th__engine_ensure(void);
/* Provided by a floor above, like main(): devices/registry.c. The engine calls the first when it starts, with defaults and
 * environment filled into config, before anything else (devices register here), and the second after it stopped and closed
 * all devices. */
th_status th__engine_start_hook(const th_config *config);
void th__engine_stop_hook(void);
/* Registers a function run at shutdown after the last task (caches of upper floors); at most 16. */
void th__engine_at_stop(void (*fn)(void));
/* What a floor above keeps per thread (scopes, modes) is put aside while a body runs on a thread that was doing something
 * else: enter returns it and sets the thread's defaults, leave puts it back. At most 4; registering again is fine. */
th_status th__engine_on_switch(void *(*enter)(void), void (*leave)(void *saved));
/* The engine's epoch: changes with every start. */
uint32_t th__engine_epoch(void);
/* Sends a line to the logger, if any. */
void th__log(th_log_level level, const char *format, ...) TH_PRINTF(2, 3);

/* In th_task.flags: name is neither changed nor freed as long as the process lives, so traces need not look at it each time. */
#define TH__TASK_NAME_LASTS (UINT32_C(1) << 31)

/* Returned by a task body that found no memory and changed nothing: the engine runs it again when some was freed. It asks
 * `th__context_last_chance` first: when nothing else can free any, that is true and the body must fail with TH_ENOMEM instead. */
#define TH__STARVED ((th_status)1)
bool th__context_last_chance(th_task_context *context);
/* Tells the engine that a device got memory back. Cheap when no task starves. */
void th__memory_freed(void);
/* The memory that a device may hold is known or has changed: the run-ahead limit in bytes follows. cpu:0 decides it; until that is
 * opened, the first of the others. */
void th__limit_memory(int64_t memory, bool decides);
/* State of the device a body runs on, and its lane handle (NULL on a pool). */
void *th__context_device_state(const th_task_context *context);
void *th__context_lane(const th_task_context *context);
/* Sequence number of the running task: unique; grows along every dependency and with the submissions of one thread. */
uint64_t th__context_sequence(const th_task_context *context);
/* How many tasks the calling thread has submitted, internal ones not counted, and the sequence number of the last. For tests
 * that replay what several threads submitted, in an order that all variables agree with. */
uint64_t th__last_sequence(uint64_t *count);

/* Poison of a variable: TH_OK, or its status with the message set on this thread. Only after waiting. */
th_status th__var_error(th_var *v);
/* Poisons v with TH_EDEVICE and a text, unless it is already: what it stood for is gone. No task may use v at the time. */
void th__var_lose(th_var *v, const char *text);

/* One call that may wait, for statistics and traces: where is "th_item" and so on. */
th_status th__wait_var_at(th_var *v, bool readers_too, int64_t timeout_ns, const char *where);
/* Waits, helping, until the body of the async task that was the last to write v has set *flag != 0 (and unparked it), or the
 * task is done without. TH_EDEADLK as for other waits. */
th_status th__wait_flag_at(th_var *v, _Atomic uint32_t *flag, const char *where);

/* Counts an operation that ran on the CPU because its device lacks a kernel. */
void th__count_fallback(void);
/* What the engine was started with, defaults filled in. */
const th_config *th__engine_config(void);
bool th__strict_device(void);

#endif
