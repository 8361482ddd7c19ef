/* Owns every environment variable of the library, read once, in one table. */
#ifndef THRUM_ENGINE_BASE_ENV_H
#define THRUM_ENGINE_BASE_ENV_H

#include "thrum/base.h"

#define TH__ENV_MAX_WORKERS 256
#define TH__ENV_MAX_MS      1000000000

typedef struct th__env {
  const char *engine; /* TH_ENGINE: threads, serial, shuffle:SEED, shuffle-threads:SEED */
  int workers; /* TH_WORKERS: worker threads of cpu:0; 0 = unset; TH_WORKERS=0 gives TH_NO_WORKERS */
  bool pin;    /* TH_WORKERS ends in "pin" ("pin", "4,pin"): every worker stays on one core */
  int64_t memory_limit; /* TH_MEMORY_LIMIT: bytes cpu:0 may hold, with k, m, g suffix; 0 = unset */
  const char *profile;  /* TH_PROFILE: path; records from start to exit */
  bool strict_device;   /* TH_STRICT_DEVICE: 1 = no fallback to the CPU */
  int watchdog_ms;      /* TH_WATCHDOG_MS: 0 = off */
  const char *log;      /* TH_LOG: path of a log file, for when no logger is set */
  const char *
      libcuda; /* TH_LIBCUDA: path of the CUDA driver's library; NULL = wherever the system finds it */
} th__env;

/* Reads the table anew. TH_EINVAL naming variable and value when one cannot be understood. The texts belong to the
 * environment: copy what must outlive a later setenv(). */
th_status th__env_read(th__env *out);
/* Whether text is a value of TH_ENGINE; th_config.engine takes the same ones. */
bool th__env_engine_known(const char *text);

#endif
