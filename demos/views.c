/* What shares memory and what does not: handles, views, copies, devices. */
#include <string.h>

#include "common/demo.h"

/* Sets one element through a view: a[index] = value. */
static void set(th_array *a, const char *index, double value) {
  th_array *element = DEMO_MAKE(th_slice(a, index));
  DEMO_TRY(th_fill(element, value));
  th_release(element);
}

static double get(th_array *a, const char *index) {
  th_array *element = DEMO_MAKE(th_slice(a, index));
  double value = demo_item(element);
  th_release(element);
  return value;
}

static void show(const char *name, const th_array *a) {
  printf("%s = ", name);
  DEMO_TRY(th_print(a, stdout));
}

/* Are a's elements these n numbers? */
static bool holds(const th_array *a, int n, const float *numbers) {
  float got[8];
  DEMO_TRY(th_read(a, got, (size_t)n * sizeof *got));
  return memcmp(got, numbers, (size_t)n * sizeof *got) == 0;
}

static void handles_and_views(void) {
  puts("x = zeros(1024); y = x; y[1] = 17");
  th_array *x = DEMO_MAKE(th_zeros(TH_SHAPE(1024), TH_F32, th_cpu(0)));
  show("x", x);
  th_array *y = th_retain(x); /* a second reference, as y = x in Python */
  set(y, "1", 17);
  show("x", x);
  demo_check(get(x, "1") == 17, "x[1] is 17: y is the same array");

  puts("z = x[1:5]; z[1] = 6");
  th_array *z = DEMO_MAKE(th_slice(x, "1:5"));
  th_array *before = DEMO_MAKE(th_copy(x)); /* reads x, submitted before the write */
  set(z, "1", 6);
  th_array *head = DEMO_MAKE(th_slice(x, ":4"));
  show("x[:4]", head);
  demo_check(holds(head, 4, (float[]){0, 17, 6, 0}), "x starts 0, 17, 6, 0: z is a view of x");
  demo_check(th_array_shares(x, z), "x and z share one storage");
  demo_check(get(before, "2") == 0, "the copy taken before the write still holds 0");

  puts("r = x[3::-1]");
  th_array *reversed = DEMO_MAKE(th_slice(x, "3::-1"));
  show("r", reversed);
  demo_check(th_array_strides(reversed)[0] == -1, "a negative stride, nothing was copied");
  th_array *all[] = {x, y, z, before, head, reversed};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) th_release(all[i]);
}

static void copies(void) {
  puts("a = [0, 4, 0, 0, 0]; c = copy(a[1:3]); c[1] = 5");
  th_array *a = DEMO_MAKE(th_zeros(TH_SHAPE(5), TH_F32, th_cpu(0)));
  set(a, "1", 4);
  th_array *part = DEMO_MAKE(th_slice(a, "1:3"));
  th_array *c = DEMO_MAKE(th_copy(part));
  set(c, "1", 5);
  show("c", c);
  show("a", a);
  demo_check(holds(c, 2, (float[]){4, 5}), "c is 4, 5");
  demo_check(holds(a, 5, (float[]){0, 4, 0, 0, 0}), "a is unchanged: c has its own storage");
  th_release(c);
  th_release(part);
  th_release(a);
}

/* An array lives as long as anything uses it: a scope owns what is made inside, th_keep() hands one out. */
static void lifetimes(void) {
  puts("scopes");
  th_memory_info at_start, inside, after;
  DEMO_TRY(th_wait_all());
  DEMO_TRY(th_memory_get(th_cpu(0), &at_start));
  th_scope scope = th_scope_begin();
  th_array *big = DEMO_MAKE(th_ones(TH_SHAPE(1000, 1000), TH_F32, th_cpu(0)));
  th_array *view = th_keep(DEMO_MAKE(th_slice(big, "::100, ::100")));
  DEMO_TRY(th_wait(big));
  th_scope_end(scope); /* releases big; the view still holds its storage */
  DEMO_TRY(th_memory_get(th_cpu(0), &inside));
  demo_check(inside.live - at_start.live >= 4000000, "the view keeps %lld bytes alive",
             (long long)(inside.live - at_start.live));
  th_array *sum = DEMO_MAKE(th_sum(view, NULL, 0, false));
  th_release(view); /* the sum is not computed yet, perhaps: it keeps what it reads */
  demo_check(demo_item(sum) == 100, "the sum of its 100 elements is 100");
  th_release(sum);
  DEMO_TRY(th_wait_all());
  DEMO_TRY(th_memory_get(th_cpu(0), &after));
  demo_check(after.live == at_start.live, "%lld bytes live afterwards, as before",
             (long long)after.live);
}

static void devices(void) {
  puts("u on cpu:0; v = copy of u on cpu:1; v[0] = 3");
  th_array *u = DEMO_MAKE(th_ones(TH_SHAPE(2), TH_F32, th_cpu(0)));
  th_array *v = DEMO_MAKE(th_copy_to(u, th_cpu(1)));
  set(v, "0", 3);
  th_array *back = DEMO_MAKE(th_copy_to(v, th_cpu(0)));
  show("u", u);
  show("v back on cpu:0", back);
  demo_check(get(u, "0") == 1, "u[0] stays 1");
  demo_check(get(back, "0") == 3, "v[0] is 3");
  th_array *mixed = th_add(u, v);
  demo_check(!mixed && th_last_status() == TH_EDEVICE, "u + v is refused: %s", th_last_error());
  th_release(back);
  th_release(v);
  th_release(u);
}

int main(int argc, char **argv) {
  demo_options(argc, argv, "Shows which arrays share memory: handles, views, copies, devices.",
               NULL, 0);
  DEMO_TRY(th_cpu_split(2, 1)); /* two CPU devices, so that copies between devices can be shown */
  handles_and_views();
  copies();
  lifetimes();
  devices();
  return demo_finish();
}
