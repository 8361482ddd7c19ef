/* Independent work overlaps, and so do computing and copying, without a word about threads or streams in the program: on two CPU
 * devices of one core each, or, with --device cuda:0, on one GPU. */
#include <math.h>

#include "common/demo.h"

enum { TRIES = 7, MOST = 50 };

/* Products of a chain beside another, of a chain beside copies, and what is copied. */
typedef struct setup {
  th_device first, second, from, to; /* of the chains, of the copies */
  int64_t side, copy_side, floats;
  int steps, copy_steps, copies;
} setup;

static setup s;

/* A chain of products on one device; +1. */
static th_array *chain(th_device device, int64_t side, int steps) {
  th_array *w = DEMO_MAKE(th_full(TH_SHAPE(side, side), 1.0 / (double)side, TH_F32, device));
  th_array *x = DEMO_MAKE(th_ones(TH_SHAPE(side, side), TH_F32, device));
  for (int i = 0; i < steps; i++) {
    th_array *next = DEMO_MAKE(th_matmul(x, w));
    th_release(x);
    x = next;
  }
  th_release(w);
  return x;
}

/* A timed wait runs no work itself: each device has its one core, and the waiting thread takes no part. */
static th_status wait_idly(const th_array *a) { return th_wait_for(a, INT64_C(60000000000)); }

/* Times `first` and `second` together, when given. */
static double chains(int first, int second) {
  th_array *a = NULL, *b = NULL;
  DEMO_TRY(th_wait_all());
  double start = demo_seconds();
  if (first) a = chain(s.first, s.side, s.steps);
  if (second) b = chain(s.second, s.side, s.steps);
  if (a) DEMO_TRY(wait_idly(a));
  if (b) DEMO_TRY(wait_idly(b));
  double seconds = demo_seconds() - start;
  th_array *both[] = {a, b};
  for (int i = 0; i < 2; i++) {
    if (!both[i]) continue;
    th_array *corner = DEMO_MAKE(th_slice(both[i], "0, 0"));
    if (fabs(demo_item(corner) - 1) > 1e-5) demo_check(false, "a product is wrong");
    th_release(corner);
    th_release(both[i]);
  }
  return seconds;
}

/* Times a chain, copies of big to the other device, or both. */
static double compute_and_copy(th_array *big, th_array *target, int compute, int copy) {
  th_array *a = NULL;
  DEMO_TRY(th_wait_all());
  double start = demo_seconds();
  if (compute) a = chain(s.first, s.copy_side, s.copy_steps);
  for (int i = 0; copy && i < s.copies; i++) DEMO_TRY(th_assign(target, big));
  if (a) DEMO_TRY(wait_idly(a));
  if (copy) DEMO_TRY(wait_idly(target));
  double seconds = demo_seconds() - start;
  th_release(a);
  return seconds;
}

static void keep_smaller(double *best, double seconds) {
  if (seconds < *best) *best = seconds;
}

static void prepare(const char *name, bool small) {
  s = (setup){.side = 512, .steps = 30, .copies = 10, .floats = 8 << 20};
  if (name) {
    s.first = s.second = s.to = demo_device(name);
    s.copy_side = 4096; /* products that take about as long as the copies */
  } else {
    DEMO_TRY(th_cpu_split(2, 1));
    s.second = s.to = th_cpu(1); /* the others are cpu:0 */
    s.copy_side = s.side;
  }
  s.copy_steps = s.steps;
  if (small) s.side = s.copy_side = 32, s.steps = s.copy_steps = 5, s.floats = 1 << 16;
}

/* What the shorter of both hid behind the other, 0..1, printed. */
static double hidden_share(bool small) {
  char name[32];
  th_array *big = DEMO_MAKE(th_ones(&s.floats, 1, TH_F32, s.from));
  th_array *target = DEMO_MAKE(th_zeros(&s.floats, 1, TH_F32, s.to));
  double compute = 1e9, copy = 1e9, both = 1e9, share = 0;
  for (int i = 0; i < TRIES || (i < MOST && !small && share < 0.7); i++) {
    keep_smaller(&compute, compute_and_copy(big, target, 1, 0));
    keep_smaller(&copy, compute_and_copy(big, target, 0, 1));
    keep_smaller(&both, compute_and_copy(big, target, 1, 1));
    share = (compute + copy - both) / fmin(compute, copy);
  }
  th_release(big);
  th_release(target);
  printf("compute %.1f ms, copy %d MiB to %s %.1f ms, both %.1f ms\n", compute * 1e3,
         (int)(s.copies * s.floats >> 18), th_device_name(s.to, name, sizeof name), copy * 1e3,
         both * 1e3);
  return share;
}

/* Time of two chains over the sum of the times of each, printed. */
static double time_of_both(bool small) {
  char first[32], second[32];
  double one = 1e9, two = 1e9, both = 1e9;
  /* Smallest of several times each, of more when the cores were not both ours: the system may put two threads on one. */
  for (int i = 0; i < TRIES || (i < MOST && !small && both > 0.65 * (one + two)); i++) {
    keep_smaller(&one, chains(1, 0));
    keep_smaller(&two, chains(0, 1));
    keep_smaller(&both, chains(1, 1));
  }
  printf("%d products of %d x %d: %s %.1f ms, %s %.1f ms, both %.1f ms\n", s.steps, (int)s.side,
         (int)s.side, th_device_name(s.first, first, sizeof first), one * 1e3,
         th_device_name(s.second, second, sizeof second), two * 1e3, both * 1e3);
  return both / (one + two);
}

int main(int argc, char **argv) {
  const char *name = NULL;
  bool small = false;
  const demo_option options[] = {
      {"device", "a GPU, as cuda:0; else two CPU devices of one core each", .text = &name},
      {"small", "little work, times are not judged", .flag = &small},
  };
  DEMO_OPTIONS(argc, argv, "Independent work, and copying during computing, side by side.",
               options);
  prepare(name, small);
  demo_others();
  double both = time_of_both(small), hidden = hidden_share(small), others = demo_others();
  if (small) {
    puts("  not judged: too small");
  } else if (demo_cores() < 2 || others > 0.2) {
    printf(
        "  not judged: overlap needs two cores, and other programs took %.0f %% of the machine\n",
        others * 100);
  } else {
    demo_check(both <= 0.65, "both took %.2f of the sum", both);
    demo_check(hidden >= 0.7, "%.0f %% of the shorter was hidden", 100 * hidden);
  }
  return demo_finish();
}
