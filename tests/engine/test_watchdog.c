/* The watchdog names what does not end and what it blocks, once, through the logger; and TH_LOG's file. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/thread.h"
#include "support/tasks.h"
#include "thrum/thrum.h"

TestSuite(watchdog, .timeout = 60);

/* What the logger got; `lock` guards it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char warning[600], last_info[600]; /* the last of each */
static int warnings;

static void keep(th_log_level level, const char *message, void *user) {
  pthread_mutex_lock(&lock);
  warnings += level == TH_LOG_WARNING;
  snprintf(level == TH_LOG_WARNING ? warning : last_info, sizeof warning, "%s", message);
  *(int *)user += 1;
  pthread_mutex_unlock(&lock);
}

static int told(void) {
  pthread_mutex_lock(&lock);
  int n = warnings;
  pthread_mutex_unlock(&lock);
  return n;
}

/* Up to 10 s. */
static bool told_within(int n) {
  for (int i = 0; i < 10000 && told() < n; i++) th__sleep_ns(1000000);
  return told() >= n;
}

static bool says(const char *part) {
  pthread_mutex_lock(&lock);
  bool found = strstr(warning, part) != NULL || strstr(last_info, part) != NULL;
  pthread_mutex_unlock(&lock);
  return found;
}

static int lines;

/* The watchdog may look while a test is still building what it is to see, when others take the machine for so long. Then the test
 * builds it again. */
enum { ATTEMPTS = 20 };

static _Atomic(th_token *) token;

static void start(int ms) {
  warnings = 0;
  warning[0] = last_info[0] = 0;
  th__store(&token, NULL, TH__RELAXED);
  th_config config = {.size = sizeof config,
                      .workers = 2,
                      .logger = keep,
                      .logger_user = &lines,
                      .watchdog_ms = ms};
  cr_assert(eq(int, th_init(&config), TH_OK), "%s", th_last_error());
}

static th_status hand_out(void *arg, th_task_context *context) {
  (void)arg;
  th__store(&token, th_context_token(context), TH__RELEASE);
  return TH_OK;
}

/* An operation that ends when its token is signalled. */
static void push_download(th_var *v) {
  th_task task = {.name = "download", .run = hand_out, .writes = &v, .n_writes = 1};
  cr_assert(eq(int, th_push_async(&task), TH_OK));
  while (th__load(&token, TH__ACQUIRE) == NULL) th__sleep_ns(100000);
}

static void signal_download(void) {
  cr_assert(eq(int, th_token_signal(th__load(&token, TH__ACQUIRE), TH_OK, NULL), TH_OK));
}

static bool names_a_token(void) {
  start(50);
  th_var *v = th_var_new();
  push_download(v);
  cr_assert(eq(int, engine_push("unpack", engine_nothing, NULL, NULL, 0, &v, 1), TH_OK));
  cr_assert(eq(int, engine_push("show", engine_nothing, NULL, &v, 1, NULL, 0), TH_OK));
  cr_assert(eq(int, th_wait_var_for(v, 1000000), TH_ETIMEDOUT));
  cr_assert(told_within(1));
  bool named = says("download: running, its token was not signalled") &&
               says("2 other operations are blocked by it") && says("unpack: pending") &&
               says("show: pending");
  th__sleep_ns(200000000);
  cr_assert(eq(int, told(), 1)); /* once is enough */
  signal_download();
  cr_assert(eq(int, th_wait_var_idle(v), TH_OK));
  for (int i = 0; i < 10000 && !says("ended after all"); i++) th__sleep_ns(1000000);
  cr_assert(says("ended after all"));
  th_var_release(v);
  cr_assert(eq(int, th_shutdown(), TH_OK));
  return named;
}

Test(watchdog, names_a_token_that_is_never_signalled) {
  bool named = false;
  for (int i = 0; i < ATTEMPTS && !named; i++) named = names_a_token();
  cr_assert(named, "%s", warning);
}

static bool progress_hides_nothing(void) {
  start(50);
  th_var *v = th_var_new(), *other = th_var_new();
  push_download(v);
  for (int i = 0; i < 10000 && told() == 0; i++) {
    cr_assert(eq(int, push_sleep(1, NULL, other), TH_OK));
    th__sleep_ns(1000000);
  }
  bool named =
      told() == 1 && says("download: running, its token") && says("0 other operations are");
  signal_download();
  th_var_release(v);
  th_var_release(other);
  cr_assert(eq(int, th_shutdown(), TH_OK));
  return named;
}

Test(watchdog, progress_elsewhere_hides_nothing) {
  bool named = false;
  for (int i = 0; i < ATTEMPTS && !named; i++) named = progress_hides_nothing();
  cr_assert(named, "%d warnings, the last: %s", told(), warning);
}

static th_status wait_inside(void *arg, th_task_context *context) {
  (void)context;
  return th_wait_var(*(th_var **)arg);
}

static bool sees_through_a_body(void) {
  start(50);
  th_var *v = th_var_new(), *w = th_var_new();
  push_download(v);
  cr_assert(eq(int, engine_push("unpack", engine_nothing, NULL, NULL, 0, &v, 1), TH_OK));
  cr_assert(eq(int, engine_push("patient", wait_inside, v, NULL, 0, &w, 1), TH_OK));
  cr_assert(told_within(1));
  bool named = says("download: running, its token") &&
               says("2 other operations are blocked by it") && says("patient: running");
  signal_download();
  cr_assert(eq(int, th_wait_var(w), TH_OK));
  th_var_release(v);
  th_var_release(w);
  cr_assert(eq(int, th_shutdown(), TH_OK));
  return named;
}

Test(watchdog, sees_through_a_body_that_waits) {
  bool named = false;
  for (int i = 0; i < ATTEMPTS && !named; i++) named = sees_through_a_body();
  cr_assert(named, "%s", warning);
}

static bool names_a_body(void) {
  engine_gate gate = {0};
  start(50);
  th_var *v = th_var_new();
  cr_assert(eq(int, engine_push_gate(&gate, v), TH_OK));
  cr_assert(told_within(1));
  bool named = says("gate: running; 0 other");
  engine_open(&gate);
  th_var_release(v);
  cr_assert(eq(int, th_shutdown(), TH_OK));
  return named;
}

Test(watchdog, names_a_body_that_hangs) {
  bool named = false;
  for (int i = 0; i < ATTEMPTS && !named; i++) named = names_a_body();
  cr_assert(named, "%s", warning);
}

static _Atomic int callback_done;

static void wait_in_callback(th_status status, const char *message, void *user) {
  (void)message;
  if (status == TH_OK && th_wait_var(user) == TH_OK) th__store(&callback_done, 1, TH__RELEASE);
}

static bool works_beside_a_callback(void) {
  start(50);
  th__store(&callback_done, 0, TH__RELAXED);
  th_var *v = th_var_new();
  push_download(v);
  th_array *a = th_ones(TH_SCALAR, TH_F32, th_cpu(0));
  cr_assert(eq(int, th_on_ready(a, wait_in_callback, v), TH_OK));
  cr_assert(told_within(1));
  bool named = says("download: running, its token");
  signal_download();
  th_release(a);
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(int, th__load(&callback_done, TH__ACQUIRE), 1));
  th_var_release(v);
  return named;
}

Test(watchdog, works_while_a_callback_hangs) {
  bool named = false;
  for (int i = 0; i < ATTEMPTS && !named; i++) named = works_beside_a_callback();
  cr_assert(named, "%s", warning);
}

Test(watchdog, says_nothing_while_all_is_well) {
  start(10000);
  th_var *v[4];
  for (int i = 0; i < 4; i++) v[i] = th_var_new();
  for (int i = 0; i < 20000; i++)
    cr_assert(eq(int, engine_push("step", engine_nothing, NULL, &v[i % 3], 1, &v[(i + 1) % 4], 1),
                 TH_OK));
  cr_assert(eq(int, th_wait_all(), TH_OK));
  for (int i = 0; i < 4; i++) th_var_release(v[i]);
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(eq(int, told(), 0));
}

Test(watchdog, is_off_by_default) {
  start(0);
  th_var *v = th_var_new();
  push_download(v);
  th__sleep_ns(100000000);
  cr_assert(eq(int, told(), 0));
  signal_download();
  th_var_release(v);
  cr_assert(eq(int, th_shutdown(), TH_OK));
  th_config config = {.size = sizeof config, .watchdog_ms = -1};
  cr_assert(eq(int, th_init(&config), TH_EINVAL));
}

/* What a program built with an older header passes. */
Test(watchdog, an_older_config_is_understood) {
  th_config config = {.size = offsetof(th_config, watchdog_ms),
                      .logger = keep,
                      .logger_user = &lines,
                      .watchdog_ms = -77};
  cr_assert(eq(int, th_init(&config), TH_OK));
  cr_assert(eq(int, lines, 1));
  cr_assert(eq(int, th_shutdown(), TH_OK));
  config.size = sizeof config + 8;
  cr_assert(eq(int, th_init(&config), TH_EINVAL));
}

/* All of a file, or "". */
static const char *content(const char *path) {
  static char text[4000];
  FILE *in = fopen(path, "r");
  text[in != NULL ? fread(text, 1, sizeof text - 1, in) : 0] = 0;
  if (in != NULL) fclose(in);
  return text;
}

Test(watchdog, by_the_environment_into_a_file) {
  char path[] = "/tmp/thrum-log-XXXXXX";
  close(mkstemp(path));
  setenv("TH_WATCHDOG_MS", "40", 1);
  setenv("TH_LOG", path, 1);
  th_var *v = th_var_new();
  push_download(v);
  for (int i = 0; i < 10000 && strstr(content(path), "download") == NULL; i++)
    th__sleep_ns(1000000);
  signal_download();
  th_var_release(v);
  cr_assert(eq(int, th_shutdown(), TH_OK));
  cr_assert(strstr(content(path), "thrum info: ") == content(path), "%s", content(path));
  cr_assert(strstr(content(path), "thrum warning: watchdog: no end for ") != NULL, "%s",
            content(path));
  unlink(path);
  setenv("TH_LOG", "/no/such/folder/log", 1);
  cr_assert(eq(int, th_init(NULL), TH_EIO));
  cr_assert(strstr(th_last_error(), "/no/such/folder/log") != NULL, "%s", th_last_error());
}

/* In the child of a fork: the watchdog of the new engine works. */
static int in_child(void) {
  warnings = 0;
  if (!ENGINE_THREADS_AFTER_FORK) return 0;
  if (th_reset_after_fork() != TH_OK) return 1;
  token = NULL;
  th_var *v = th_var_new();
  push_download(v);
  if (!told_within(1)) return 2;
  signal_download();
  th_var_release(v);
  return th_shutdown() == TH_OK ? 0 : 3;
}

Test(watchdog, starts_again_after_a_fork) {
  start(50);
  th_var *v = th_var_new();
  push_download(v);
  cr_assert(told_within(1));
  pid_t child = fork();
  if (child == 0) _exit(in_child());
  int status = -1;
  waitpid(child, &status, 0);
  cr_assert(eq(int, status, 0));
  signal_download();
  th_var_release(v);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}
