/* Owns the engine's life: start, stop, fork, process exit. `starting` serialises start and stop; `phase` is what everybody else
 * looks at. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/env.h"
#include "engine/service.h"
#include "engine/parts.h"
#include "engine/trace.h"

#define MAX_AT_STOP 16

th__engine th__the;

static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;
static bool was_shut;     /* under starting: implicit starts are over until th_init() */
static bool handlers_set; /* under starting */
static void (*at_stop[MAX_AT_STOP])(void); /* under starting */
static int n_at_stop;

uint32_t th__engine_epoch(void) { return th__the.epoch; }
const th_config *th__engine_config(void) { return &th__the.config; }
bool th__strict_device(void) { return th__the.strict_device; }
void th__count_fallback(void) { th__fetch_add(&th__the.fallbacks, 1, TH__RELAXED); }

void th__engine_at_stop(void (*fn)(void)) {
  pthread_mutex_lock(&starting);
  bool known = false;
  for (int i = 0; i < n_at_stop; i++) known |= at_stop[i] == fn;
  if (!known && n_at_stop < MAX_AT_STOP) at_stop[n_at_stop++] = fn;
  pthread_mutex_unlock(&starting);
}

/* "shuffle:7" and so on. */
static th_status parse_mode(const char *text, th__mode *mode, uint64_t *seed) {
  *mode = TH__MODE_THREADS;
  *seed = 0;
  if (text == NULL || strcmp(text, "threads") == 0) return TH_OK;
  if (strcmp(text, "serial") == 0) {
    *mode = TH__MODE_SERIAL;
    return TH_OK;
  }
  const char *colon = strchr(text, ':');
  if (colon != NULL && colon[1] >= '0' && colon[1] <= '9') {
    char *end;
    *seed = strtoull(colon + 1, &end, 10);
    size_t n = (size_t)(colon - text);
    bool whole = *end == 0 && strlen(text) < 64;
    if (whole && n == 7 && strncmp(text, "shuffle", n) == 0) *mode = TH__MODE_SHUFFLE;
    if (whole && n == 15 && strncmp(text, "shuffle-threads", n) == 0)
      *mode = TH__MODE_SHUFFLE_THREADS;
    if (*mode != TH__MODE_THREADS) return TH_OK;
  }
  return th__fail(
      TH_EINVAL, "init: engine '%s' is none of threads, serial, shuffle:SEED, shuffle-threads:SEED",
      text);
}

/* Fields that a program built with an older header does not know are zero. */
static th_status copy_config(const th_config *config, th_config *c) {
  *c = (th_config){.size = sizeof *c};
  if (config == NULL) return TH_OK;
  if (config->size < offsetof(th_config, watchdog_ms) || config->size > sizeof *c)
    return th__fail(TH_EINVAL, "init: config.size is not sizeof(th_config)");
  memcpy(c, config, config->size);
  c->size = sizeof *c;
  return TH_OK;
}

static th_status check_config(const th_config *c) {
  if (c->workers < TH_NO_WORKERS || c->workers > TH__MAX_WORKERS)
    return th__fail(TH_EINVAL, "init: %d workers; 1 to %d, or TH_NO_WORKERS", c->workers,
                    TH__MAX_WORKERS);
  if (c->max_ops < -1 || c->max_bytes < -1 || c->memory_limit < 0 || c->exit_timeout_ms < 0 ||
      c->watchdog_ms < 0)
    return th__fail(TH_EINVAL, "init: a limit is negative");
  const th_allocator *a = c->allocator;
  if (a != NULL && (a->alloc == NULL || a->resize == NULL || a->release == NULL))
    return th__fail(TH_EINVAL, "init: an allocator needs alloc, resize and release");
  return TH_OK;
}

/* What the program's pointers lead to is copied, since it may change. Texts that stand are short. */
static void keep_config(th_config *c) {
  static char engine[64];
  static th_allocator allocator;
  if (c->engine != NULL) memmove(engine, c->engine, strlen(c->engine) + 1);
  if (c->engine != NULL) c->engine = engine;
  if (c->allocator != NULL) allocator = *c->allocator;
  if (c->allocator != NULL) c->allocator = &allocator;
}

/* Environment over defaults; what config sets wins over both. */
static th_status fill_config(const th_config *config, const th__env *env, uint64_t *seed) {
  th_config *c = &th__the.config;
  TH_TRY(copy_config(config, c));
  TH_TRY(check_config(c));
  if (c->engine == NULL) c->engine = env->engine;
  if (c->workers == 0) c->workers = env->workers;
  if (c->memory_limit == 0) c->memory_limit = env->memory_limit;
  if (c->max_ops == 0) c->max_ops = 8192;
  if (c->exit_timeout_ms == 0) c->exit_timeout_ms = 500;
  if (c->watchdog_ms == 0) c->watchdog_ms = env->watchdog_ms;
  if (!c->pin_workers) c->pin_workers = env->pin;
  th__the.strict_device = env->strict_device;
  TH_TRY(th__log_open(c, env->log));
  TH_TRY(parse_mode(c->engine, &th__the.mode, seed));
  keep_config(c);
  return TH_OK;
}

/* The process ends: workers take no more, what runs may end within the time limit, then everything is left as it is. */
static void at_exit(void) {
  uint32_t on = TH__PHASE_ON;
  if (!th__cas(&th__the.phase, &on, TH__PHASE_EXITING, TH__ACQ_REL)) return;
  th__store(&th__the.stopping, 1, TH__SEQ_CST);
  th__service_exit();
  th__devices_wake();
  int64_t end = th__now_ns() + (int64_t)th__the.config.exit_timeout_ms * 1000000;
  while (th__load(&th__the.workers_alive, TH__ACQUIRE) > 0 && th__now_ns() < end)
    th__sleep_ns(100000);
  th__trace_autostop();
}

/* Only the forking thread lives in the child; locks of others may be held for ever. */
static void after_fork(void) {
  th__threads_after_fork();
  uint32_t phase = th__load(&th__the.phase, TH__ACQUIRE);
  if (phase == TH__PHASE_OFF) return;
  th__store(&th__the.phase, TH__PHASE_FORKED, TH__RELEASE);
  th__the.first_epoch = th__the.epoch + 1;
  starting = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
  th__trace_after_fork();
  th__service_after_fork();
  th__watchdog_after_fork();
}

static th_status set_handlers(void) {
  if (handlers_set) return TH_OK;
  th__spin_watch_forks();
  if (pthread_atfork(NULL, NULL, after_fork) != 0 || atexit(at_exit) != 0)
    return th__fail(TH_ENOMEM, "init: cannot register for fork and exit");
  handlers_set = true;
  return TH_OK;
}

/* Under starting. */
static th_status start(const th_config *config) {
  th__env env;
  uint64_t seed;
  TH_TRY(th__env_read(&env));
  TH_TRY(fill_config(config, &env, &seed));
  TH_TRY(set_handlers());
  th__mem_set_allocator(th__the.config.allocator);
  th__fence_prepare();
  TH_TRY(th__slots_open());
  th__the.epoch++;
  th__the.begin_ticks = th__ticks();
  th__the.begin_ns = th__now_ns();
  th__store(&th__the.stopping, 0, TH__RELAXED);
  th__store(&th__the.sequence, 0, TH__RELAXED);
  th__shuffle_seed(seed);
  th__pin_start();
  th_status status = th__engine_start_hook(&th__the.config);
  if (status != TH_OK) {
    th__slots_close();
    return status;
  }
  th__service_start();
  was_shut = false;
  th__store(&th__the.phase, TH__PHASE_ON, TH__RELEASE); /* pairs with th__engine_ensure() */
  th__watchdog_start();
  if (env.profile != NULL) th__trace_autostart(env.profile);
  th__log(TH_LOG_INFO, "thrum %s started, engine %s", th_version_string(),
          th__the.config.engine ? th__the.config.engine : "threads");
  return TH_OK;
}

static th_status refuse(uint32_t phase) {
  if (phase == TH__PHASE_FORKED)
    return th__fail(TH_EFORK, "this process was forked: call th_reset_after_fork() first");
  return th__fail(TH_ESHUTDOWN, "the process is ending");
}

th_status th__engine_ensure(void) {
  uint32_t phase = th__load(&th__the.phase, TH__ACQUIRE);
  if (__builtin_expect(phase == TH__PHASE_ON, 1)) return TH_OK;
  if (phase != TH__PHASE_OFF) return refuse(phase);
  pthread_mutex_lock(&starting);
  phase = th__load(&th__the.phase, TH__ACQUIRE);
  th_status status = TH_OK;
  if (phase == TH__PHASE_OFF) {
    status = was_shut ? th__fail(TH_ESHUTDOWN, "the engine was shut down: call th_init() first")
                      : start(NULL);
  }
  pthread_mutex_unlock(&starting);
  return status;
}

th_status th_init(const th_config *config) {
  uint32_t phase = th__load(&th__the.phase, TH__ACQUIRE);
  if (phase == TH__PHASE_FORKED || phase == TH__PHASE_EXITING) return refuse(phase);
  pthread_mutex_lock(&starting);
  bool on = th__load(&th__the.phase, TH__ACQUIRE) == TH__PHASE_ON;
  th_status status = on ? th__fail(TH_EBUSY, "init: the engine runs already") : start(config);
  pthread_mutex_unlock(&starting);
  return status;
}

static void zero_counters(void) {
  th__store(&th__the.workers_alive, 0, TH__RELAXED);
  th__store(&th__the.failures_live, 0, TH__RELAXED);
  th__store(&th__the.bytes, 0, TH__RELAXED);
  th__store(&th__the.starved, 0, TH__RELAXED);
  th__store(&th__the.limit_waiters, 0, TH__RELAXED);
  th__store(&th__the.limit_waits, 0, TH__RELAXED);
  th__store(&th__the.fallbacks, 0, TH__RELAXED);
  th__limit_forget();
}

/* Everything that start() made goes; under starting. */
static void stop(void) {
  th__watchdog_stop();
  th__store(&th__the.stopping, 1, TH__SEQ_CST);
  th__devices_wake();
  th__devices_stop();
  th__trace_autostop();
  for (int i = 0; i < n_at_stop; i++) at_stop[i]();
  th__store(&th__the.phase, TH__PHASE_OFF, TH__SEQ_CST);
  th__threads_settle();
  th__devices_close();
  th__engine_stop_hook();
  th__shuffle_free();
  th__starve_forget();
  th__failures_free();
  th__trace_shutdown();
  th__threads_free();
  th__slots_close();
  zero_counters();
  th__log_close();
  was_shut = true;
}

th_status th_shutdown(void) {
  uint32_t phase = th__load(&th__the.phase, TH__ACQUIRE);
  if (phase == TH__PHASE_OFF) return TH_OK;
  if (phase != TH__PHASE_ON) return refuse(phase);
  th__thread *self = th__self();
  if (self == NULL) return TH_ENOMEM;
  if (self->frame != NULL || self->engine_thread || th__service_inside())
    return th__fail(TH_EDEADLK, "shutdown: inside a task or callback");
  th_status status = th_wait_all();
  th__service_stop(); /* callbacks may submit more */
  do {                /* tasks may have submitted tasks */
    th_status late = th_wait_all();
    if (status == TH_OK) status = late;
    if (th__in_flight() != 0) th__sleep_ns(100000); /* they are done, but not yet counted so */
  } while (th__in_flight() != 0);
  pthread_mutex_lock(&starting);
  if (th__load(&th__the.phase, TH__ACQUIRE) == TH__PHASE_ON) stop();
  pthread_mutex_unlock(&starting);
  return status;
}

th_status th_reset_after_fork(void) {
  if (th__load(&th__the.phase, TH__ACQUIRE) != TH__PHASE_FORKED)
    return th__fail(TH_EINVAL,
                    "reset_after_fork: this process was not forked from a running engine");
  /* Records, queues and devices of the parent are left as they are: their locks may be held by threads that are gone. */
  th__threads_forget();
  th__self_record = NULL;
  th__kinds_after_fork();
  th__devices_forget();
  th__shuffle_forget();
  th__starve_forget();
  th__failures_forget();
  th__loops_forget();
  th__slots_close();
  th__trace_reset();
  zero_counters();
  th_config config = th__the.config;
  was_shut = true;
  th__store(&th__the.phase, TH__PHASE_OFF, TH__RELEASE);
  return th_init(&config);
}
