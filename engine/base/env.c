/* Owns every environment variable of the library: one table, read as a whole when the engine starts. An empty value counts as
 * unset. */
#include "engine/base/env.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/error.h"

/* Decimal digits only, all of text; false on anything else and on overflow. */
static bool parse_digits(const char *text, uint64_t *out) {
  if (!isdigit((unsigned char)*text)) return false;
  char *end;
  errno = 0;
  *out = strtoull(text, &end, 10);
  return errno == 0 && *end == 0;
}

bool th__env_engine_known(const char *text) {
  uint64_t seed;
  if (strcmp(text, "threads") == 0 || strcmp(text, "serial") == 0) return true;
  if (strncmp(text, "shuffle:", 8) == 0) return parse_digits(text + 8, &seed);
  if (strncmp(text, "shuffle-threads:", 16) == 0) return parse_digits(text + 16, &seed);
  return false;
}

static bool parse_engine(const char *text, void *out) {
  *(const char **)out = text;
  return th__env_engine_known(text);
}

/* "4", "pin" or "4,pin". */
static bool parse_workers(const char *text, void *out) {
  th__env *env = out;
  char digits[8] = "";
  size_t length = strcspn(text, ",");
  env->pin = strcmp(text, "pin") == 0 || strcmp(text + length, ",pin") == 0;
  if (strcmp(text, "pin") == 0) return true;
  uint64_t n;
  if (length >= sizeof digits || (text[length] != 0 && !env->pin)) return false;
  memcpy(digits, text, length);
  if (!parse_digits(digits, &n) || n > TH__ENV_MAX_WORKERS) return false;
  env->workers = n == 0 ? TH_NO_WORKERS : (int)n;
  return true;
}

static bool parse_ms(const char *text, void *out) {
  uint64_t n;
  if (!parse_digits(text, &n) || n > TH__ENV_MAX_MS) return false;
  *(int *)out = (int)n;
  return true;
}

static bool parse_bytes(const char *text, void *out) {
  if (!isdigit((unsigned char)*text)) return false;
  char *end;
  errno = 0;
  uint64_t n = strtoull(text, &end, 10);
  int shift = 0;
  switch (*end) {
  case 'k':
  case 'K': shift = 10; break;
  case 'm':
  case 'M': shift = 20; break;
  case 'g':
  case 'G': shift = 30; break;
  default: break;
  }
  if (shift) end++;
  if (errno != 0 || *end != 0 || n == 0 || n > (uint64_t)INT64_MAX >> shift) return false;
  *(int64_t *)out = (int64_t)(n << shift);
  return true;
}

static bool parse_flag(const char *text, void *out) {
  *(bool *)out = strcmp(text, "1") == 0;
  return strcmp(text, "0") == 0 || strcmp(text, "1") == 0;
}

static bool parse_path(const char *text, void *out) {
  *(const char **)out = text;
  return true;
}

/* The table. legal completes the message "TH_X=value: not understood; use ...". */
static const struct {
  const char *name;
  bool (*parse)(const char *text, void *out);
  size_t field;
  const char *legal;
} table[] = {
    {"TH_ENGINE", parse_engine, offsetof(th__env, engine),
     "threads, serial, shuffle:SEED or shuffle-threads:SEED"},
    {"TH_WORKERS", parse_workers, 0, "a number from 0 to 256, pin, or a number and ,pin"},
    {"TH_MEMORY_LIMIT", parse_bytes, offsetof(th__env, memory_limit),
     "a number of bytes above 0, which may end in k, m or g"},
    {"TH_PROFILE", parse_path, offsetof(th__env, profile), "a path"},
    {"TH_STRICT_DEVICE", parse_flag, offsetof(th__env, strict_device), "0 or 1"},
    {"TH_WATCHDOG_MS", parse_ms, offsetof(th__env, watchdog_ms),
     "a number of milliseconds up to 1000000000; 0 is off"},
    {"TH_LOG", parse_path, offsetof(th__env, log), "a path"},
    {"TH_LIBCUDA", parse_path, offsetof(th__env, libcuda), "a path"},
};

th_status th__env_read(th__env *out) {
  *out = (th__env){0};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    const char *value = getenv(table[i].name);
    if (!value || !*value) continue;
    if (!table[i].parse(value, (char *)out + table[i].field))
      return th__fail(TH_EINVAL, "environment: %s=%s is not understood; use %s", table[i].name,
                      value, table[i].legal);
  }
  return TH_OK;
}
