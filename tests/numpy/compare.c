/* Reads cases from standard input (stream.py says how they are written), makes each call through the public interface and
 * compares its results with those that came along. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "numpy/call.h"

enum { SHOWN = 40 }; /* failures that are printed */

static long ran, failed;

static void give_up(const char *what) {
  fprintf(stderr, "numpy_compare: the stream is broken at %s, after %ld cases\n", what, ran);
  exit(2);
}

static void expect_fields(int got, int wanted, const char *what) {
  if (got != wanted) give_up(what);
}

/* --- arrays --- */

typedef struct plain {
  th_dtype type;
  int ndim;
  int64_t shape[TH_MAX_DIMS], size;
  char *data;
} plain;

static th_dtype type_named(const char *name) {
  for (int t = 0; t < TH_DTYPE_COUNT; t++)
    if (strcmp(th_dtype_name((th_dtype)t), name) == 0) return (th_dtype)t;
  give_up(name);
  return TH_BOOL;
}

/* "TYPE NDIM SIZES...", a line's end, the bytes. */
static void read_plain(plain *p) {
  char type[16];
  expect_fields(scanf("%15s %d", type, &p->ndim), 2, "an array");
  if (p->ndim < 0 || p->ndim > TH_MAX_DIMS) give_up("dimensions");
  p->type = type_named(type);
  p->size = 1;
  for (int d = 0; d < p->ndim; d++) {
    expect_fields(scanf("%ld", &p->shape[d]), 1, "a size");
    p->size *= p->shape[d];
  }
  if (getchar() != '\n') give_up("the end of a line");
  size_t bytes = (size_t)p->size * th_dtype_size(p->type);
  p->data = malloc(bytes + 1);
  if (!p->data || fread(p->data, 1, bytes, stdin) != bytes) give_up("elements");
}

static void read_list(call_list *l) {
  expect_fields(scanf("%d", &l->n), 1, "a list");
  if (l->n < 0 || l->n > CALL_MOST) give_up("a list");
  for (int i = 0; i < l->n; i++) {
    expect_fields(scanf("%ld", &l->wide[i]), 1, "a list");
    l->narrow[i] = (int)l->wide[i];
  }
}

static void read_text(char *out, size_t bytes) {
  if (getchar() != ' ' || !fgets(out, (int)bytes, stdin)) give_up("a text");
  out[strcspn(out, "\n")] = 0;
}

/* One step from a base to the view that is wanted; a is released. */
static th_array *step(th_array *a, const char *what) {
  call_list l;
  char spec[256];
  th_array *view;
  if (strcmp(what, "slice") == 0) {
    read_text(spec, sizeof spec);
    view = th_slice(a, spec);
  } else if (read_list(&l), strcmp(what, "permute") == 0) {
    view = th_permute_dims(a, l.narrow, l.n);
  } else {
    view = th_broadcast_to(a, l.wide, l.n);
  }
  th_release(a);
  return view;
}

static th_array *read_array(void) {
  plain p;
  char what[16];
  read_plain(&p);
  th_array *a = th_from_host(p.data, p.shape, p.ndim, p.type, th_cpu(0));
  free(p.data);
  for (;;) {
    expect_fields(scanf("%15s", what), 1, "a step");
    if (strcmp(what, "done") == 0) break;
    a = step(a, what);
  }
  if (!a) give_up(th_last_error());
  return a;
}

/* --- a case --- */

static double read_double(void) {
  unsigned long bits;
  double value;
  expect_fields(scanf("%lx", &bits), 1, "a number");
  memcpy(&value, &bits, sizeof value);
  return value;
}

static void read_argument(call *c, const char *what) {
  char type[16];
  int n = 1;
  if (strcmp(what, "double") == 0) {
    c->real[c->n_reals++] = read_double();
  } else if (strcmp(what, "int") == 0) {
    expect_fields(scanf("%ld", &c->number[c->n_numbers++]), 1, "an int");
  } else if (strcmp(what, "ints") == 0) {
    read_list(&c->list[c->n_lists++]);
  } else if (strcmp(what, "text") == 0) {
    read_text(c->text, sizeof c->text);
  } else if (strcmp(what, "type") == 0) {
    expect_fields(scanf("%15s", type), 1, "a type");
    c->type[c->n_types++] = type_named(type);
  } else if (strcmp(what, "arrays") == 0) {
    expect_fields(scanf("%d", &n), 1, "arrays");
    for (int i = 0; i < n && i < CALL_MOST; i++) {
      expect_fields(scanf("%15s", type), 1, "an array");
      c->array[c->n_arrays++] = read_array();
    }
  } else if (strcmp(what, "array") == 0) {
    c->array[c->n_arrays++] = read_array();
  } else {
    give_up(what);
  }
}

/* Arguments up to "expect". */
static void read_call(call *c) {
  char what[16];
  memset(c, 0, sizeof *c);
  expect_fields(scanf("%79s %23s", c->name, c->signature), 2, "a case");
  for (;;) {
    expect_fields(scanf("%15s", what), 1, "an argument");
    if (strcmp(what, "expect") == 0) return;
    read_argument(c, what);
  }
}

static void release_call(call *c) {
  for (int i = 0; i < CALL_MOST; i++) {
    th_release(c->array[i]);
    th_release(c->out[i]);
  }
}

/* --- comparison --- */

/* Position of a float among all of its type, so that neighbours differ by 1; both zeros are 0. */
static int64_t position(th_dtype t, const char *element) {
  uint64_t bits = 0, sign = UINT64_C(1) << (8 * th_dtype_size(t) - 1);
  memcpy(&bits, element, th_dtype_size(t));
  return (bits & sign) ? -(int64_t)(bits & ~sign) : (int64_t)bits;
}

static double value_of(th_dtype t, const char *element) {
  th_array *one = th_from_host(element, NULL, 0, t, th_cpu(0));
  double value = th_item(one);
  th_release(one);
  return value;
}

static bool is_float(th_dtype t) { return t >= TH_F16; }

/* With ulp 0: the same bits, but any NaN is as good as another. */
static bool is_near(th_dtype t, const char *got, const char *wanted, double ulp, double absolute) {
  if (memcmp(got, wanted, th_dtype_size(t)) == 0) return true;
  if (!is_float(t)) return false;
  double x = value_of(t, got), y = value_of(t, wanted);
  if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
  if (ulp == 0 && absolute == 0) return false;
  int64_t a = position(t, got), b = position(t, wanted);
  double steps = (double)(a > b ? (uint64_t)a - (uint64_t)b : (uint64_t)b - (uint64_t)a);
  return steps <= ulp || fabs(x - y) <= absolute;
}

static void print_sizes(const int64_t *shape, int ndim) {
  for (int d = 0; d < ndim; d++) printf("%s%ld", d ? "x" : " ", shape[d]);
}

/* What was called, and why it is wrong; a few times. */
static void report(long number, const call *c, const char *reason) {
  if (failed++ >= SHOWN) return;
  printf("case %ld: th_%s %s:", number, c->name, c->signature);
  for (int i = 0; i < c->n_arrays; i++) {
    printf(" %s", th_dtype_name(th_array_dtype(c->array[i])));
    print_sizes(th_array_shape(c->array[i]), th_array_ndim(c->array[i]));
  }
  for (int i = 0; i < c->n_reals; i++) printf(" %g", c->real[i]);
  for (int i = 0; i < c->n_numbers; i++) printf(" %ld", c->number[i]);
  for (int l = 0; l < c->n_lists; l++)
    for (int i = 0; i < c->list[l].n; i++) printf("%s%ld", i ? "," : " [", c->list[l].wide[i]);
  for (int i = 0; i < c->n_types; i++) printf(" %s", th_dtype_name(c->type[i]));
  printf(" %s\n  %s\n", c->text, reason);
}

/* The first difference as text; false without one. */
static bool differs(const th_array *got, const plain *wanted, double ulp, double absolute,
                    char *why, size_t bytes) {
  size_t size = th_dtype_size(wanted->type);
  bool same = th_array_dtype(got) == wanted->type && th_array_ndim(got) == wanted->ndim;
  for (int d = 0; same && d < wanted->ndim; d++) same = th_array_shape(got)[d] == wanted->shape[d];
  if (!same) {
    int n = snprintf(why, bytes,
                     "%s of %d dimensions, not %s of %d:", th_dtype_name(th_array_dtype(got)),
                     th_array_ndim(got), th_dtype_name(wanted->type), wanted->ndim);
    for (int d = 0; d < wanted->ndim && n < (int)bytes; d++)
      n += snprintf(why + n, bytes - (size_t)n, " %ld", wanted->shape[d]);
    return true;
  }
  char *data = malloc((size_t)wanted->size * size + 1);
  th_status status = th_read(got, data, (size_t)wanted->size * size);
  if (status != TH_OK) snprintf(why, bytes, "reading it failed: %s", th_last_error());
  bool wrong = status != TH_OK;
  for (int64_t i = 0; !wrong && i < wanted->size; i++) {
    const char *x = data + (size_t)i * size, *y = wanted->data + (size_t)i * size;
    wrong = !is_near(wanted->type, x, y, ulp, absolute);
    if (wrong)
      snprintf(why, bytes, "element %ld of %ld is %.17g, not %.17g (%g ulp or %g may differ)", i,
               wanted->size, value_of(wanted->type, x), value_of(wanted->type, y), ulp, absolute);
  }
  free(data);
  return wrong;
}

static void run_case(long number) {
  static call c;
  char reason[512] = "", first[16];
  int n;
  double ulp, absolute;
  read_call(&c);
  expect_fields(scanf("%d %lf %lf", &n, &ulp, &absolute), 3, "what to expect");
  bool good = call_run(&c, reason, sizeof reason);
  for (int i = 0; i < n; i++) {
    plain wanted;
    expect_fields(scanf("%15s", first), 1, "a result");
    read_plain(&wanted);
    good = good && i < CALL_MOST && c.out[i] &&
           !differs(c.out[i], &wanted, ulp, absolute, reason, sizeof reason);
    free(wanted.data);
  }
  if (!good) report(number, &c, reason);
  release_call(&c);
  ran++;
}

int main(void) {
  char word[16];
  long number;
  while (scanf("%15s %ld", word, &number) == 2 && strcmp(word, "case") == 0) run_case(number);
  if (strcmp(word, "end") != 0 || number != ran) give_up("its end");
  th_status status = th_shutdown();
  printf("%ld cases, %ld differ\n", ran, failed);
  return failed > 0 || ran == 0 || status != TH_OK;
}
