/* What the demos share: the command line, error checks, checks of their own results, a clock and a progress bar. */
#ifndef THRUM_DEMOS_COMMON_DEMO_H
#define THRUM_DEMOS_COMMON_DEMO_H

#include <stdbool.h>

#include <thrum/thrum.h>

/* One option of the command line. Exactly one of the five targets is set. */
typedef struct demo_option {
  const char *name;  /* "epochs": used as --epochs VALUE or --epochs=VALUE */
  const char *help;  /* one line */
  long *integer;     /* a whole number */
  double *number;    /* a decimal number */
  const char **text; /* any text */
  th_device *device; /* of a name as "cuda:0"; refused when there is no such device */
  bool *flag;        /* no value: set to true when given */
} demo_option;

/* Reads the command line. --help prints about and the options and exits with 0; a mistake exits with 1. */
void demo_options(int argc, char **argv, const char *about, const demo_option *options, int n);
#define DEMO_OPTIONS(argc, argv, about, options)                                                   \
  demo_options(argc, argv, about, options, (int)(sizeof(options) / sizeof((options)[0])))

/* Evaluates something that returns a status: on failure prints the message and exits with 1. */
#define DEMO_TRY(expression) demo_try((expression), #expression)
/* Evaluates a maker of an array: on NULL prints the message and exits with 1, else gives the array. */
#define DEMO_MAKE(expression) demo_make((expression), #expression)
void demo_try(th_status status, const char *expression);
th_array *demo_make(th_array *a, const char *expression);
/* The one element of a, or exit with 1. */
double demo_item(const th_array *a);
/* Prints a message to the standard error and exits with 1. */
_Noreturn void demo_die(const char *format, ...) TH_PRINTF(1, 2);

/* The option that most demos have: where their arrays are. It starts the engine, as only that knows the devices. */
#define DEMO_DEVICE(target)                                                                        \
  { "device", "where everything lives and is computed: cpu:0, cuda:0", .device = (target) }
/* The device that a name means, or a message why it cannot be used and exit with 1. Starts the engine. */
th_device demo_device(const char *name);

/* Exits with a message when the file that an option names cannot be written: better known before the work than after it. Makes the
 * file; an empty path is fine. */
void demo_writable(const char *option, const char *path);

/* Prints "  ok    text" or "  FAIL  text" and remembers failures. */
void demo_check(bool ok, const char *format, ...) TH_PRINTF(2, 3);
/* |value - wanted| <= tolerance, as a check that prints both. */
void demo_check_near(const char *what, double value, double wanted, double tolerance);
/* Stops the engine; 0 when every check was fine, else 1. For `return demo_finish();` at the end of main. */
int demo_finish(void);

double demo_seconds(void); /* a clock that only goes forward */
void demo_sleep(double seconds);
int demo_cores(void); /* cores this process may use */
/* Share of all cores, 0..1, that other programs took since the last call: times measured meanwhile mean little when it is
 * large. */
double demo_others(void);

/* Draws "label [####....] done/total, rate, time left" over itself when the standard output is a terminal, else nothing. done
 * begins with 1. */
void demo_progress(const char *label, long done, long total);
void demo_progress_clear(void);

#endif
