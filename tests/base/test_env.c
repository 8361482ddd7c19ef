/* Every environment variable: its values, and what is refused. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/env.h"
#include "engine/base/error.h"

static const char *const names[] = {"TH_ENGINE",      "TH_WORKERS",       "TH_MEMORY_LIMIT",
                                    "TH_PROFILE",     "TH_STRICT_DEVICE", "TH_LOG",
                                    "TH_WATCHDOG_MS", "TH_LIBCUDA"};

static void unset_all(void) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
}

TestSuite(env, .timeout = 60, .init = unset_all);

Test(env, unset_means_defaults) {
  th__env e;
  memset(&e, 0xFF, sizeof e);
  cr_assert(eq(int, th__env_read(&e), TH_OK));
  cr_assert(zero(ptr, (void *)e.engine));
  cr_assert(eq(int, e.workers, 0));
  cr_assert(eq(i64, e.memory_limit, 0));
  cr_assert(zero(ptr, (void *)e.profile));
  cr_assert(not(e.strict_device));
  cr_assert(zero(ptr, (void *)e.log));
  cr_assert(eq(int, e.watchdog_ms, 0));
  cr_assert(not(e.pin));
}

Test(env, empty_means_unset) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) setenv(names[i], "", 1);
  th__env e;
  cr_assert(eq(int, th__env_read(&e), TH_OK));
  cr_assert(zero(ptr, (void *)e.engine));
  cr_assert(zero(ptr, (void *)e.profile));
}

Test(env, values) {
  setenv("TH_ENGINE", "shuffle:17", 1);
  setenv("TH_WORKERS", "3,pin", 1);
  setenv("TH_MEMORY_LIMIT", "5m", 1);
  setenv("TH_PROFILE", "trace.json", 1);
  setenv("TH_STRICT_DEVICE", "1", 1);
  setenv("TH_LOG", "log.txt", 1);
  setenv("TH_WATCHDOG_MS", "250", 1);
  setenv("TH_LIBCUDA", "/there/libcuda.so", 1);
  th__env e;
  cr_assert(eq(int, th__env_read(&e), TH_OK));
  cr_assert(eq(str, (char *)e.engine, (char *)"shuffle:17"));
  cr_assert(eq(int, e.workers, 3));
  cr_assert(eq(i64, e.memory_limit, 5 << 20));
  cr_assert(eq(str, (char *)e.profile, (char *)"trace.json"));
  cr_assert(e.strict_device);
  cr_assert(eq(str, (char *)e.log, (char *)"log.txt"));
  cr_assert(eq(int, e.watchdog_ms, 250));
  cr_assert(e.pin);
  cr_assert(eq(str, (char *)e.libcuda, (char *)"/there/libcuda.so"));
}

Test(env, read_anew_each_time) {
  th__env e;
  setenv("TH_WORKERS", "2", 1);
  cr_assert(eq(int, th__env_read(&e), TH_OK));
  setenv("TH_WORKERS", "4", 1);
  cr_assert(eq(int, th__env_read(&e), TH_OK));
  cr_assert(eq(int, e.workers, 4));
}

Test(env, engines) {
  static const char *const good[] = {"threads", "serial", "shuffle:0",
                                     "shuffle:18446744073709551615", "shuffle-threads:42"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    cr_assert(th__env_engine_known(good[i]), "%s", good[i]);
}

Test(env, zero_workers_is_none) {
  th__env e;
  setenv("TH_WORKERS", "0", 1);
  cr_assert(eq(int, th__env_read(&e), TH_OK));
  cr_assert(eq(int, e.workers, TH_NO_WORKERS));
}

Test(env, byte_suffixes) {
  static const struct {
    const char *text;
    int64_t bytes;
  } rows[] = {{"1", 1},
              {"4096", 4096},
              {"3k", 3072},
              {"3K", 3072},
              {"2M", 2 << 20},
              {"7g", INT64_C(7) << 30},
              {"9223372036854775807", INT64_MAX},
              {"8589934591G", INT64_C(8589934591) << 30}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    th__env e;
    setenv("TH_MEMORY_LIMIT", rows[i].text, 1);
    cr_assert(eq(int, th__env_read(&e), TH_OK), "%s", rows[i].text);
    cr_assert(eq(i64, e.memory_limit, rows[i].bytes), "%s", rows[i].text);
  }
}

Test(env, refusals_name_variable_and_value) {
  static const struct {
    const char *name, *value;
  } rows[] = {
      {"TH_ENGINE", "fast"},        {"TH_ENGINE", "Serial"},
      {"TH_ENGINE", "shuffle"},     {"TH_ENGINE", "shuffle:"},
      {"TH_ENGINE", "shuffle:x"},   {"TH_ENGINE", "shuffle:1x"},
      {"TH_ENGINE", "shuffle:-1"},  {"TH_ENGINE", "shuffle: 1"},
      {"TH_ENGINE", "threads "},    {"TH_ENGINE", "shuffle:18446744073709551616"},
      {"TH_WORKERS", "many"},       {"TH_WORKERS", "-2"},
      {"TH_WORKERS", "257"},        {"TH_WORKERS", "2.5"},
      {"TH_WORKERS", "+2"},         {"TH_WORKERS", "99999999999999999999"},
      {"TH_WORKERS", "4,"},         {"TH_WORKERS", "4,pinned"},
      {"TH_MEMORY_LIMIT", "0"},     {"TH_MEMORY_LIMIT", "-1"},
      {"TH_MEMORY_LIMIT", "1t"},    {"TH_MEMORY_LIMIT", "1kb"},
      {"TH_MEMORY_LIMIT", "k"},     {"TH_MEMORY_LIMIT", "9223372036854775808"},
      {"TH_MEMORY_LIMIT", "1 m"},   {"TH_MEMORY_LIMIT", "8589934592g"},
      {"TH_STRICT_DEVICE", "yes"},  {"TH_STRICT_DEVICE", "2"},
      {"TH_STRICT_DEVICE", "true"}, {"TH_STRICT_DEVICE", "01"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char expected[128];
    th__env e;
    unset_all();
    setenv(rows[i].name, rows[i].value, 1);
    snprintf(expected, sizeof expected, "environment: %s=%s is not understood; use ", rows[i].name,
             rows[i].value);
    cr_assert(eq(int, th__env_read(&e), TH_EINVAL), "%s=%s", rows[i].name, rows[i].value);
    cr_assert(strncmp(th_last_error(), expected, strlen(expected)) == 0, "%s", th_last_error());
  }
}
