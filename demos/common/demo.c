/* Owns the demos' shared parts. Demos are single programs, so mistakes end the process here. */
#include "common/demo.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int failures;

_Noreturn void demo_die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fflush(stdout);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(1);
}

void demo_try(th_status status, const char *expression) {
  if (status == TH_OK) return;
  const char *text = th_last_error();
  demo_die("%s: %s: %s", expression, th_status_name(status), *text ? text : th_status_text(status));
}

th_array *demo_make(th_array *a, const char *expression) {
  if (!a) demo_die("%s: %s: %s", expression, th_status_name(th_last_status()), th_last_error());
  return a;
}

double demo_item(const th_array *a) {
  th_clear_error();
  double value = th_item(a);
  if (th_last_status() != TH_OK) {
    demo_die("th_item: %s: %s", th_status_name(th_last_status()), th_last_error());
  }
  return value;
}

th_device demo_device(const char *name) {
  th_device device;
  if (th_device_parse(name, &device) != TH_OK) demo_die("--device: %s", th_last_error());
  if (device.kind == TH_META) demo_die("--device: meta has shapes only, nothing is computed there");
  th_array *a = th_zeros(TH_SCALAR, TH_F32, device);
  if (!a) demo_die("--device: %s", th_last_error());
  th_release(a);
  return device;
}

void demo_writable(const char *option, const char *path) {
  FILE *file = *path ? fopen(path, "ab") : NULL;
  if (*path && !file) demo_die("--%s: cannot write '%s'", option, path);
  if (file) fclose(file);
}

void demo_check(bool ok, const char *format, ...) {
  va_list args;
  va_start(args, format);
  printf("  %s  ", ok ? "ok  " : "FAIL");
  vprintf(format, args);
  putchar('\n');
  va_end(args);
  if (!ok) failures++;
}

void demo_check_near(const char *what, double value, double wanted, double tolerance) {
  demo_check(fabs(value - wanted) <= tolerance, "%s = %.9g (expected %.9g)", what, value, wanted);
}

int demo_finish(void) {
  DEMO_TRY(th_shutdown());
  if (failures) printf("%d check%s failed\n", failures, failures == 1 ? "" : "s");
  return failures ? 1 : 0;
}

double demo_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void demo_sleep(double seconds) {
  struct timespec left = {.tv_sec = (time_t)seconds};
  left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

int demo_cores(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

double demo_others(void) {
  static double last_busy, last_total, last_own;
  double v[8] = {0}, busy = 0, total = 0, tick = (double)sysconf(_SC_CLK_TCK);
  FILE *file = fopen("/proc/stat", "r"); /* user nice system idle iowait irq softirq steal */
  if (file) {
    int n = fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &v[0], &v[1], &v[2], &v[3], &v[4],
                   &v[5], &v[6], &v[7]);
    fclose(file);
    for (int i = 0; i < n; i++) {
      total += v[i] / tick;
      if (i != 3 && i != 4) busy += v[i] / tick;
    }
  }
  double own = (double)clock() / CLOCKS_PER_SEC;
  double others = (busy - last_busy) - (own - last_own);
  double share = total > last_total && others > 0 ? others / (total - last_total) : 0;
  last_busy = busy, last_total = total, last_own = own;
  return share < 1 ? share : 1;
}

static void print_help(const char *program, const char *about, const demo_option *options, int n) {
  const char *slash = strrchr(program, '/');
  printf("usage: %s%s\n\n%s\n\noptions:\n", slash ? slash + 1 : program, n ? " [options]" : "",
         about);
  for (int i = 0; i < n; i++) {
    const demo_option *o = &options[i];
    char value[64] = "";
    char left[64];
    if (o->integer) snprintf(value, sizeof value, " (default %ld)", *o->integer);
    if (o->number) snprintf(value, sizeof value, " (default %g)", *o->number);
    if (o->text && *o->text && **o->text) snprintf(value, sizeof value, " (default %s)", *o->text);
    if (o->device)
      snprintf(value, sizeof value, " (default %s)", th_device_name(*o->device, left, sizeof left));
    snprintf(left, sizeof left, "--%s%s", o->name, o->flag ? "" : " VALUE");
    printf("  %-18s %s%s\n", left, o->help, value);
  }
  printf("  %-18s %s\n", "--help", "this text");
}

static const demo_option *find_option(const char *name, size_t length, const demo_option *options,
                                      int n) {
  for (int i = 0; i < n; i++) {
    if (strlen(options[i].name) == length && memcmp(options[i].name, name, length) == 0) {
      return &options[i];
    }
  }
  return NULL;
}

static void store_value(const demo_option *o, const char *value) {
  char *end = NULL;
  errno = 0;
  if (o->text) *o->text = value;
  if (o->device) *o->device = demo_device(value);
  if (o->integer) *o->integer = strtol(value, &end, 10);
  if (o->number) *o->number = strtod(value, &end);
  if ((o->integer || o->number) && (end == value || *end || errno)) {
    demo_die("--%s: '%s' is not a number", o->name, value);
  }
}

void demo_options(int argc, char **argv, const char *about, const demo_option *options, int n) {
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
      print_help(argv[0], about, options, n);
      exit(0);
    }
    if (strncmp(argv[i], "--", 2) != 0) demo_die("unexpected argument '%s'; try --help", argv[i]);
    const char *name = argv[i] + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const demo_option *o = find_option(name, length, options, n);
    if (!o || (o->flag && equals)) demo_die("unknown option '%s'; try --help", argv[i]);
    if (o->flag) {
      *o->flag = true;
    } else if (equals) {
      store_value(o, equals + 1);
    } else if (i + 1 < argc) {
      store_value(o, argv[++i]);
    } else {
      demo_die("--%s wants a value", o->name);
    }
  }
}

void demo_progress(const char *label, long done, long total) {
  enum { WIDTH = 40 };
  static double start;
  if (!isatty(STDOUT_FILENO)) return;
  if (done <= 1) start = demo_seconds();
  double seconds = demo_seconds() - start, rate = seconds > 0 ? (double)(done - 1) / seconds : 0;
  long filled = total > 0 ? done * WIDTH / total : 0;
  printf("\r%s [", label);
  for (long i = 0; i < WIDTH; i++) putchar(i < filled ? '#' : '.');
  printf("] %ld/%ld", done, total);
  if (rate > 0) {
    long left = lround((double)(total - done) / rate);
    printf("  %.0f/s, %ld:%02ld left", rate, left / 60, left % 60);
  }
  printf("\x1b[K");
  fflush(stdout);
}

void demo_progress_clear(void) {
  if (!isatty(STDOUT_FILENO)) return;
  printf("\r\x1b[K");
  fflush(stdout);
}
