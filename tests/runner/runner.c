/* A fork-per-test runner for Criterion's test objects, linked instead of libcriterion where that cannot go (TSan,
 * MSan, valgrind) or is not strict enough (leaks, exit(0) in mid-test). It implements the symbols the public headers
 * of Criterion 2.4 ask for. The parent has one thread, so a fork is safe under every sanitizer; a test passes only by
 * a private exit code, so every other way to end fails. `lock` guards the blocks and the failure mark. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fnmatch.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runner/hooks.h"
#include "support/sanitizers.h"

enum { CODE_FAIL = 87, CODE_PASS = 88, CODE_SKIP = 89 };

/* Sanitizers slow a test down; TEST_TIMEOUT_SCALE in the environment overrides. */
#define TIMEOUT_SCALE (THREAD_SANITIZER ? 6.0 : ADDRESS_SANITIZER ? 4.0 : 1.0)

extern struct criterion_test *__start_cr_tst[] __attribute__((weak));
extern struct criterion_test *__stop_cr_tst[] __attribute__((weak));
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak));
extern struct criterion_suite *__stop_cr_sts[] __attribute__((weak));

/* Blocks handed to assertions stay on this list until the test ends, so a passing any() leaks nothing. */
typedef struct block {
  struct block *next;
  max_align_t data[];
} block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block *blocks;
static bool failed;
static bool skipped;
static jmp_buf *escape;
static pthread_t test_thread;
static const struct criterion_test *current;
static const struct criterion_suite *current_suite;

static void *keep(size_t bytes) {
  block *b = calloc(1, sizeof *b + bytes);
  if (!b) _exit(CODE_FAIL);
  pthread_mutex_lock(&lock);
  b->next = blocks;
  blocks = b;
  pthread_mutex_unlock(&lock);
  return b->data;
}

static void free_blocks(void) {
  while (blocks) {
    block *b = blocks;
    blocks = b->next;
    free(b);
  }
}

static char *keep_text(const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, again);
  va_end(again);
  char *text = keep((size_t)n + 1);
  vsnprintf(text, (size_t)n + 1, format, args);
  return text;
}

int cr_vasprintf(char **out, const char *format, va_list args) {
  *out = keep_text(format, args);
  return (int)strlen(*out);
}

int cr_asprintf(char **out, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = cr_vasprintf(out, format, args);
  va_end(args);
  return n;
}

void cr_asprintf_free(char *text) { (void)text; }

/* Appends to *buffer, as the array assertions need; the old text stays on the list. */
int cri_fmt_bprintf(char **buffer, size_t *offset, size_t *size, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *more = keep_text(format, args);
  va_end(args);
  int n = cr_asprintf(buffer, "%s%s", *buffer ? *buffer : "", more);
  *size = *offset = (size_t)n;
  return n;
}

char *cri_strtok_r(char *text, const char *delimiters, char **rest) {
  return strtok_r(text, delimiters, rest);
}

/* Criterion puts an "x" before the message to tell none from an empty one. */
char *cri_assert_message(const char *format, ...) {
  if (!format[1]) return NULL;
  va_list args;
  va_start(args, format);
  char *text = keep_text(format + 1, args);
  va_end(args);
  return text;
}

void cri_assert_node_init(struct cri_assert_node *node) { memset(node, 0, sizeof *node); }

struct cri_assert_node *cri_assert_node_add(struct cri_assert_node *tree,
                                            struct cri_assert_node *node) {
  if (tree->nchild == tree->maxchild) {
    uint32_t room = tree->maxchild ? 2 * tree->maxchild : 4;
    struct cri_assert_node *grown = keep(room * sizeof *grown);
    if (tree->nchild) memcpy(grown, tree->children, tree->nchild * sizeof *grown);
    tree->children = grown;
    tree->maxchild = room;
  }
  tree->children[tree->nchild] = *node;
  return &tree->children[tree->nchild++];
}

void cri_assert_node_negate(struct cri_assert_node *node) { node->pass = !node->pass; }
void cri_assert_node_term(struct cri_assert_node *node) { (void)node; }

static void print_node(const struct cri_assert_node *node, int indent) {
  if (node->repr) fprintf(stderr, "[----] %*s%s\n", indent, "", node->repr);
  for (int i = 0; i < CRI_ASSERT_MAX_PARAMS && node->params[i].name; i++)
    fprintf(stderr, "[----] %*s  %s: %s\n", indent, "", node->params[i].name,
            (const char *)node->params[i].data);
  for (uint32_t i = 0; i < node->nchild; i++)
    if (!node->children[i].pass) print_node(&node->children[i], indent + 2);
}

static void mark_failed(void) {
  pthread_mutex_lock(&lock);
  failed = true;
  pthread_mutex_unlock(&lock);
}

void cri_assert_node_send(const char *file, size_t line, struct cri_assert_node *tree) {
  fprintf(stderr, "[----] %s:%zu: Assertion Failed\n", file, line);
  if (tree->message) fprintf(stderr, "[----]   %s\n", tree->message);
  print_node(tree, 0);
  mark_failed();
}

void criterion_continue_test(void) { mark_failed(); }

/* Leaves the test; from a thread of the test the process must end, its stack is not ours to unwind. */
void criterion_abort_test(void) {
  if (!skipped) mark_failed();
  if (!escape || !pthread_equal(pthread_self(), test_thread)) _exit(CODE_FAIL);
  longjmp(*escape, 1);
}

void criterion_skip_test(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "[SKIP] %s::%s: %s\n", current->category, current->name, keep_text(format, args));
  va_end(args);
  skipped = true;
  criterion_abort_test();
}

int cr_user_str_eq(char **a, char **b) { return !strcmp(*a, *b); }
int cr_user_str_lt(char **a, char **b) { return strcmp(*a, *b) < 0; }
int cr_user_str_zero(char **a) { return !**a; }
char *cr_user_str_tostr(char **a) {
  char *text = NULL;
  cr_asprintf(&text, "\"%s\"", *a);
  return text;
}

static int compare_mem(const struct cr_mem *a, const struct cr_mem *b) {
  size_t shorter = a->size < b->size ? a->size : b->size;
  int order = shorter ? memcmp(a->data, b->data, shorter) : 0;
  return order ? order : (a->size > b->size) - (a->size < b->size);
}

int cr_user_mem_eq(const struct cr_mem *a, const struct cr_mem *b) { return !compare_mem(a, b); }
int cr_user_mem_lt(const struct cr_mem *a, const struct cr_mem *b) { return compare_mem(a, b) < 0; }
char *cr_user_mem_tostr(const struct cr_mem *m) {
  char *text = NULL;
  size_t offset = 0, size = 0;
  for (size_t i = 0; i < m->size && i < 64; i++)
    cri_fmt_bprintf(&text, &offset, &size, "%02x ", ((const unsigned char *)m->data)[i]);
  if (!text || m->size > 64) cri_fmt_bprintf(&text, &offset, &size, "... %zu bytes", m->size);
  return text;
}

void criterion_internal_test_setup(void) {
  if (current_suite && current_suite->data && current_suite->data->init)
    current_suite->data->init();
  if (current->data->init) current->data->init();
}

/* An abort in the body still runs the teardown; one in set-up or teardown leaves through run_body. */
void criterion_internal_test_main(void (*body)(void)) {
  jmp_buf here, *volatile outer = escape;
  escape = &here;
  if (!setjmp(here)) body();
  escape = outer;
}

void criterion_internal_test_teardown(void) {
  if (current->data->fini) current->data->fini();
  if (current_suite && current_suite->data && current_suite->data->fini)
    current_suite->data->fini();
}

/* The program's own word before a test; false when the test is not to run. */
static bool hook_allows(void) {
  bool skip = false;
  const char *why = test_begins ? test_begins(current->category, current->name, &skip) : NULL;
  if (!why) return true;
  skipped = skip;
  failed = !skip;
  fprintf(stderr, "[%s] %s::%s: %s\n", skip ? "SKIP" : "----", current->category, current->name,
          why);
  return false;
}

/* And after one. */
static void hook_judges(void) {
  const char *wrong = !failed && !skipped && test_ends ? test_ends() : NULL;
  if (!wrong) return;
  failed = true;
  fprintf(stderr, "[----] %s::%s: %s\n", current->category, current->name, wrong);
}

static int run_body(void) {
  jmp_buf here;
  failed = skipped = false;
  if (hook_allows()) {
    test_thread = pthread_self();
    escape = &here;
    if (!setjmp(here)) current->test();
    escape = NULL;
    hook_judges();
  }
  free_blocks();
  fflush(NULL);
  pthread_mutex_lock(&lock);
  int code = failed ? CODE_FAIL : skipped ? CODE_SKIP : CODE_PASS;
  pthread_mutex_unlock(&lock);
  return code;
}

/* A value of the test wins over that of its suite. */
#define SETTING(field)                                                                             \
  (current->data->field                   ? current->data->field                                   \
   : current_suite && current_suite->data ? current_suite->data->field                             \
                                          : 0)

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static pid_t start_child(void) {
  fflush(NULL);
  pid_t pid = fork();
  if (pid) return pid;
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  if (SETTING(signal)) signal(SETTING(signal), SIG_DFL); /* a sanitizer may have taken it */
  exit(run_body());
}

/* Waits for the child until the deadline; false means it had to be killed. SIGCHLD is blocked, so it cannot be missed. */
static bool wait_child(pid_t pid, double deadline, int *status) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  for (;;) {
    pid_t got = waitpid(pid, status, WNOHANG);
    if (got == pid) return true;
    double left = deadline - now();
    if (left <= 0) break;
    if (left > 1) left = 1;
    struct timespec nap = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
    sigtimedwait(&child, NULL, &nap);
  }
  kill(-pid, SIGKILL);
  kill(pid, SIGKILL);
  waitpid(pid, status, 0);
  return false;
}

typedef struct counts {
  int tested, passing, failing, crashing;
} counts;

static void report(counts *c, bool passed, bool crashed, double start, const char *why) {
  c->tested++;
  if (passed) {
    c->passing++;
    return;
  }
  c->failing++;
  if (crashed) c->crashing++;
  fprintf(stderr, "[FAIL] %s::%s: %s (%.2fs)\n", current->category, current->name, why,
          now() - start);
}

static void run_forked(counts *c, double scale) {
  double start = now(), limit = SETTING(timeout);
  int status = 0, want_signal = SETTING(signal), want_code = SETTING(exit_code);
  char why[96] = "assertion failed";
  pid_t pid = start_child();
  if (pid < 0) {
    report(c, false, true, start, strerror(errno));
    return;
  }
  if (!wait_child(pid, start + (limit > 0 ? limit * scale : 1e9), &status)) {
    report(c, false, false, start, "Timed out.");
    return;
  }
  kill(-pid, SIGKILL); /* processes the test has left behind */
  if (WIFSIGNALED(status)) {
    int got = WTERMSIG(status);
    snprintf(why, sizeof why, "CRASH! %s", strsignal(got));
    report(c, want_signal && got == want_signal, true, start, why);
    return;
  }
  int code = WEXITSTATUS(status);
  if (code == CODE_SKIP) return;
  bool passed = !want_signal && code == (want_code ? want_code : CODE_PASS);
  if (code == CODE_PASS)
    snprintf(why, sizeof why, "ended well, which was not expected");
  else if (code != CODE_FAIL)
    snprintf(why, sizeof why, "exit code %d (a sanitizer's report or an early exit)", code);
  report(c, passed, false, start, why);
}

static const struct criterion_suite *find_suite(const char *name) {
  for (struct criterion_suite **s = __start_cr_sts; s < __stop_cr_sts; s++)
    if (*s && !strcmp((*s)->name, name)) return *s;
  return NULL;
}

/* Runs or lists every test that matches the pattern; returns how many matched. */
static int walk(const char *pattern, bool list, bool inproc, counts *c) {
  const char *text = getenv("TEST_TIMEOUT_SCALE");
  double scale = text ? atof(text) : TIMEOUT_SCALE;
  int matched = 0;
  for (struct criterion_test **t = __start_cr_tst; t < __stop_cr_tst; t++) {
    char path[256];
    if (!*t) continue;
    current = *t;
    current_suite = find_suite(current->category);
    snprintf(path, sizeof path, "%s/%s", current->category, current->name);
    if (fnmatch(pattern, path, 0) != 0) continue;
    matched++;
    if (list)
      printf("%s\n", path);
    else if (SETTING(disabled))
      fprintf(stderr, "[SKIP] %s::%s: Test is disabled\n", current->category, current->name);
    else if (!inproc)
      run_forked(c, scale);
    else {
      int code = run_body();
      if (code != CODE_SKIP) report(c, code == CODE_PASS, false, now(), "assertion failed");
    }
  }
  return matched;
}

static int usage(const char *program, FILE *out, int code) {
  fprintf(out,
          "usage: %s [--list] [--filter 'SUITE/TEST'] [--inproc]\n"
          "  --list     print the tests that match\n"
          "  --filter   run only tests whose suite/name matches this pattern\n"
          "  --inproc   run in this process, without fork, time limits or crash handling\n",
          program);
  return code;
}

int main(int argc, char **argv) {
  const char *pattern = "*";
  bool list = false, inproc = false;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--list"))
      list = true;
    else if (!strcmp(argv[i], "--inproc"))
      inproc = true;
    else if (!strcmp(argv[i], "--filter") && i + 1 < argc)
      pattern = argv[++i];
    else if (!strncmp(argv[i], "--filter=", 9))
      pattern = argv[i] + 9;
    else
      return usage(argv[0], strcmp(argv[i], "--help") ? stderr : stdout,
                   strcmp(argv[i], "--help") ? 2 : 0);
  }
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  if (!inproc) sigprocmask(SIG_BLOCK, &child, NULL);
  counts c = {0};
  if (!walk(pattern, list, inproc, &c)) {
    fprintf(stderr, "%s: no test matches '%s'\n", argv[0], pattern);
    return 2;
  }
  if (list) return 0;
  fprintf(stderr, "[====] Synthesis: Tested: %d | Passing: %d | Failing: %d | Crashing: %d\n",
          c.tested, c.passing, c.failing, c.crashing);
  return c.failing ? 1 : 0;
}
