/* Two devices of one core each: independent work overlaps, and so do computing and copying, without a word about
 * threads in the program. */
#include <math.h>

#include "common/demo.h"

enum { SIDE = 512, STEPS = 30, COPIES = 10, COPY_FLOATS = 8 << 20, TRIES = 7, MOST = 50 };

/* A chain of products on one device; +1. */
static th_array *chain(th_device device) {
  th_array *w = DEMO_MAKE(th_full(TH_SHAPE(SIDE, SIDE), 1.0 / SIDE, TH_F32, device));
  th_array *x = DEMO_MAKE(th_ones(TH_SHAPE(SIDE, SIDE), TH_F32, device));
  for (int i = 0; i < STEPS; i++) {
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
  if (first) a = chain(th_cpu(0));
  if (second) b = chain(th_cpu(1));
  if (a) DEMO_TRY(wait_idly(a));
  if (b) DEMO_TRY(wait_idly(b));
  double seconds = demo_seconds() - start;
  th_array *both[] = {a, b};
  for (int i = 0; i < 2; i++) {
    if (!both[i]) continue;
    th_array *corner = DEMO_MAKE(th_slice(both[i], "0, 0"));
    if (demo_item(corner) != 1) demo_check(false, "a product is wrong");
    th_release(corner);
    th_release(both[i]);
  }
  return seconds;
}

/* Times a chain on cpu:0, copies of big from cpu:0 to cpu:1, or both. */
static double compute_and_copy(th_array *big, th_array *target, int compute, int copy) {
  th_array *a = NULL;
  DEMO_TRY(th_wait_all());
  double start = demo_seconds();
  if (compute) a = chain(th_cpu(0));
  for (int i = 0; copy && i < COPIES; i++) DEMO_TRY(th_assign(target, big));
  if (a) DEMO_TRY(wait_idly(a));
  if (copy) DEMO_TRY(wait_idly(target));
  double seconds = demo_seconds() - start;
  th_release(a);
  return seconds;
}

static void keep_smaller(double *best, double seconds) {
  if (seconds < *best) *best = seconds;
}

int main(int argc, char **argv) {
  demo_options(argc, argv, "Work on two devices, and copying during computing, side by side.", NULL,
               0);
  DEMO_TRY(th_cpu_split(2, 1));
  demo_others();
  /* Smallest of several times each, of more when the cores were not both ours: the system may put two threads on one. */
  double one = 1e9, two = 1e9, both = 1e9;
  for (int i = 0; i < TRIES || (i < MOST && both > 0.65 * (one + two)); i++) {
    keep_smaller(&one, chains(1, 0));
    keep_smaller(&two, chains(0, 1));
    keep_smaller(&both, chains(1, 1));
  }
  printf("%d products of %d x %d: cpu:0 %.1f ms, cpu:1 %.1f ms, both %.1f ms\n", STEPS, SIDE, SIDE,
         one * 1e3, two * 1e3, both * 1e3);

  th_array *big = DEMO_MAKE(th_ones(TH_SHAPE(COPY_FLOATS), TH_F32, th_cpu(0)));
  th_array *target = DEMO_MAKE(th_zeros(TH_SHAPE(COPY_FLOATS), TH_F32, th_cpu(1)));
  double compute = 1e9, copy = 1e9, overlapped = 1e9;
  for (int i = 0;
       i < TRIES || (i < MOST && compute + copy - overlapped < 0.7 * fmin(compute, copy)); i++) {
    keep_smaller(&compute, compute_and_copy(big, target, 1, 0));
    keep_smaller(&copy, compute_and_copy(big, target, 0, 1));
    keep_smaller(&overlapped, compute_and_copy(big, target, 1, 1));
  }
  th_release(big);
  th_release(target);
  printf("compute %.1f ms, copy %d MiB to the other device %.1f ms, both %.1f ms\n", compute * 1e3,
         COPIES * (COPY_FLOATS >> 18), copy * 1e3, overlapped * 1e3);

  double others = demo_others();
  if (demo_cores() < 2 || others > 0.2) {
    printf(
        "  not judged: overlap needs two cores, and other programs took %.0f %% of the machine\n",
        others * 100);
  } else {
    double shorter = fmin(compute, copy);
    demo_check(both <= 0.65 * (one + two), "both took %.2f of the sum", both / (one + two));
    demo_check(compute + copy - overlapped >= 0.7 * shorter, "%.0f %% of the shorter was hidden",
               100 * (compute + copy - overlapped) / shorter);
  }
  return demo_finish();
}
