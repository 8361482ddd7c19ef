/* thrum-trace: shows and checks the traces that programs with Thrum write. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace/check.h"
#include "trace/figures.h"
#include "trace/html.h"
#include "trace/report.h"

static const char help[] =
    "usage: thrum-trace COMMAND FILE [OPTIONS]\n"
    "       thrum-trace FILE             the same as summary\n\n"
    "FILE is Chrome trace JSON as th_profile_stop() and TH_PROFILE=FILE write it; - is the "
    "standard input.\n\n"
    "  summary        wall time, what bounds it, how busy lanes are and why not, top ops, host "
    "waits\n"
    "  critical-path  the longest chain of ops that waited for each other\n"
    "  table          count, total, mean, percentiles, queue time, share, GFLOP/s and GB/s per op "
    "name; memory by\n"
    "                 who took it (not in csv)\n"
    "  html           the timeline as one HTML file that needs no network\n"
    "  svg            a picture of a window for documents\n"
    "  ascii          the timeline in letters\n"
    "  check          proves that no op started before what it waited for had finished; exit code "
    "1 if one did\n\n"
    "  -o FILE              write there instead of to the standard output\n"
    "  --from T, --to T     svg, ascii: the window, as 12ms, 3.5us, 800ns or 1s from the first "
    "submission\n"
    "                       (default: all of it, with the ranges and waits around the ops)\n"
    "  --busiest T          svg, ascii: the stretch of this length in which the lanes have most to "
    "do\n"
    "  --width N            svg: pixels, 400 to 8000 (default 960); ascii: columns, 60 to 4096 "
    "(default 100)\n"
    "  --format F           table: text, json or csv (default text)\n"
    "  --most N             critical-path, table, check: lines at most (default 50, all, 20)\n"
    "  --color, --no-color  ascii: colors or none (default: colors on a terminal)\n\n"
    "Exit code 2: a wrong call; 3: a file that is no trace, or cannot be read or written.\n";

typedef struct options {
  const char *command, *file, *output;
  report_window window;
  int64_t busiest; /* 0: the window as given */
  report_format format;
  long width, most; /* 0: the default */
  int color;        /* -1: on a terminal */
} options;

enum { RC_FINDINGS = 1, RC_USAGE = 2, RC_FILE = 3 };

static int usage(const char *what, const char *value) {
  fprintf(stderr, "thrum-trace: %s%s%s; see thrum-trace --help\n", what, value[0] != 0 ? " " : "",
          value);
  return RC_USAGE;
}

static bool parse_time(const char *text, int64_t *ns) {
  static const struct {
    const char *name;
    double ns;
  } units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
  char *end;
  double value = strtod(text, &end);
  for (int i = 0; i < 4; i++) {
    if (end == text || strcmp(end, units[i].name) != 0 ||
        !(value >= 0 && value * units[i].ns < 9e15))
      continue;
    *ns = llround(value * units[i].ns);
    return true;
  }
  return false;
}

static bool parse_number(const char *text, long least, long most, long *out) {
  char *end;
  errno = 0;
  *out = strtol(text, &end, 10);
  return end != text && *end == 0 && errno == 0 && *out >= least && *out <= most;
}

static bool parse_format(const char *text, report_format *format) {
  static const char *const names[] = {"text", "json", "csv"};
  for (int i = 0; i < 3; i++) {
    if (strcmp(text, names[i]) != 0) continue;
    *format = (report_format)i;
    return true;
  }
  return false;
}

/* An option with a value. */
static bool parse_option(options *o, const char *name, const char *value) {
  if (strcmp(name, "-o") == 0 || strcmp(name, "--output") == 0) {
    o->output = value;
    return true;
  }
  if (strcmp(name, "--from") == 0) return parse_time(value, &o->window.from);
  if (strcmp(name, "--to") == 0) return parse_time(value, &o->window.to);
  if (strcmp(name, "--busiest") == 0) return parse_time(value, &o->busiest) && o->busiest > 0;
  if (strcmp(name, "--width") == 0) return parse_number(value, 60, 8000, &o->width);
  if (strcmp(name, "--most") == 0) return parse_number(value, 1, 1000000000, &o->most);
  return strcmp(name, "--format") == 0 && parse_format(value, &o->format);
}

static bool takes_value(const char *name) {
  static const char *const names[] = {"-o",        "--output", "--from", "--to",
                                      "--busiest", "--width",  "--most", "--format"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(name, names[i]) == 0) return true;
  return false;
}

/* 0, or the exit code. */
static int parse(int argc, char **argv, options *o) {
  for (int i = 1; i < argc; i++) {
    const char *a = argv[i];
    if (strcmp(a, "--color") == 0) {
      o->color = 1;
    } else if (strcmp(a, "--no-color") == 0) {
      o->color = 0;
    } else if (takes_value(a)) {
      if (i + 1 == argc) return usage(a, "needs a value");
      if (!parse_option(o, a, argv[i + 1])) {
        fprintf(stderr, "thrum-trace: %s cannot be '%s'; see thrum-trace --help\n", a, argv[i + 1]);
        return RC_USAGE;
      }
      i++;
    } else if (a[0] == '-' && a[1] != 0) {
      return usage("there is no option", a);
    } else if (o->command == NULL) {
      o->command = a;
    } else if (o->file == NULL) {
      o->file = a;
    } else {
      return usage("one file at a time, not also", a);
    }
  }
  if (o->window.to == 0 || (o->window.to > 0 && o->window.to <= o->window.from))
    return usage("--to must lie behind --from", "");
  return 0;
}

/* --- commands: exit codes --- */

static int run_summary(const options *o, const trace *t, const figures *f, FILE *out) {
  report_summary(t, f, out);
  return 0;
}

static int run_path(const options *o, const trace *t, const figures *f, FILE *out) {
  report_path(t, f, o->most == 0 ? 50 : (size_t)o->most, out);
  return 0;
}

static int run_table(const options *o, const trace *t, const figures *f, FILE *out) {
  size_t most = o->most == 0 ? SIZE_MAX : (size_t)o->most;
  report_table(t, f, o->format, most, out);
  if (o->format == REPORT_TEXT && t->n_memory > 0) putc('\n', out);
  if (o->format == REPORT_TEXT) report_memory(t, f, most, out);
  return 0;
}

static int no_memory(void) {
  fputs("thrum-trace: out of memory\n", stderr);
  return RC_FILE;
}

static int run_html(const options *o, const trace *t, const figures *f, FILE *out) {
  const char *slash = strrchr(o->file, '/');
  return html_write(t, f, slash == NULL ? o->file : slash + 1, out) ? 0 : no_memory();
}

/* The window that the options name. */
static report_window window_of(const options *o, const trace *t, const figures *f) {
  report_window w = o->window;
  int64_t from = o->busiest > 0 ? figures_busiest(t, f, o->busiest) : -1;
  if (from >= 0) w = (report_window){from, from + o->busiest};
  return w;
}

static int run_svg(const options *o, const trace *t, const figures *f, FILE *out) {
  int width = o->width == 0 ? 960 : (int)o->width;
  if (width < 400) return usage("--width of a picture must be 400 to 8000", "");
  return report_svg(t, f, window_of(o, t, f), width, out) ? 0 : no_memory();
}

static int run_ascii(const options *o, const trace *t, const figures *f, FILE *out) {
  int columns = o->width == 0 ? 100 : (int)o->width;
  if (columns > 4096) return usage("--width in columns must be 60 to 4096", "");
  bool color = o->color < 0 ? isatty(fileno(out)) != 0 : o->color > 0;
  return report_ascii(t, f, window_of(o, t, f), columns, color, out) ? 0 : no_memory();
}

static int run_check(const options *o, const trace *t, const figures *f, FILE *out) {
  size_t n = trace_check(t, out, o->most == 0 ? 20 : (size_t)o->most);
  if (n > 0) {
    fprintf(out, "%zu findings\n", n);
    return RC_FINDINGS;
  }
  fprintf(out, "ok: %zu ops in order, %zu edges respected", t->n_ops, f->n_edges - f->n_lost_edges);
  if (f->n_lost_edges > 0)
    fprintf(out, " (%zu more lead to ops that are not in the trace)", f->n_lost_edges);
  putc('\n', out);
  return 0;
}

static const struct {
  const char *name;
  int (*run)(const options *o, const trace *t, const figures *f, FILE *out);
} commands[] = {
    {"summary", run_summary}, {"critical-path", run_path}, {"table", run_table}, {"html", run_html},
    {"svg", run_svg},         {"ascii", run_ascii},        {"check", run_check}};
enum { COMMANDS = sizeof commands / sizeof *commands };

/* Runs the command with its output open; a file that could not be written is an error. */
static int run(const options *o, int command, const trace *t, const figures *f) {
  FILE *out = o->output == NULL ? stdout : fopen(o->output, "w");
  if (out == NULL) {
    fprintf(stderr, "thrum-trace: cannot write %s: %s\n", o->output, strerror(errno));
    return RC_FILE;
  }
  int code = commands[command].run(o, t, f, out);
  bool failed = fflush(out) != 0 || ferror(out) != 0;
  if (o->output != NULL && fclose(out) != 0) failed = true;
  if (!failed) return code;
  fprintf(stderr, "thrum-trace: cannot write %s\n",
          o->output == NULL ? "to the standard output" : o->output);
  return RC_FILE;
}

int main(int argc, char **argv) {
  options o = {.window = {-1, -1}, .color = -1};
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0) continue;
    fputs(help, stdout);
    return 0;
  }
  int code = parse(argc, argv, &o);
  if (code != 0) return code;
  if (o.command == NULL) return usage("what shall be done?", "");
  bool named = strcmp(o.command, "-") == 0 || access(o.command, R_OK) == 0;
  if (o.file == NULL && named) { /* a file alone is summed up */
    o.file = o.command;
    o.command = "summary";
  }
  int command = 0;
  while (command < COMMANDS && strcmp(o.command, commands[command].name) != 0) command++;
  if (command == COMMANDS) return usage("there is no command", o.command);
  if (o.file == NULL) return usage("which file?", "");
  char error[512];
  trace *t = trace_read(o.file, error, sizeof error);
  if (t == NULL) {
    fprintf(stderr, "thrum-trace: %s\n", error);
    return RC_FILE;
  }
  figures *f = figures_make(t);
  code = f == NULL ? no_memory() : run(&o, command, t, f);
  figures_free(f);
  trace_free(t);
  return code;
}
