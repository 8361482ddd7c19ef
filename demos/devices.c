/* The devices this machine has: how many of each kind, their memory, and, where there is no GPU, why not. */
#include <stdio.h>

#include "common/demo.h"

static void describe(th_device d) {
  char name[32];
  th_memory_info m;
  DEMO_TRY(th_memory_get(d, &m));
  /* The same work everywhere: where a device has no kernel for it, the CPU helps out. */
  th_array *a = DEMO_MAKE(th_full(TH_SHAPE(1000), 3, TH_F32, d));
  th_array *b = DEMO_MAKE(th_multiply(a, a)), *sum = DEMO_MAKE(th_sum(b, NULL, 0, false));
  printf("  %s may hold %.1f GiB\n", th_device_name(d, name, sizeof name),
         (double)m.limit / (1 << 30));
  demo_check(demo_item(sum) == 9000, "1000 * 3 * 3 on %s is 9000", name);
  th_release(sum);
  th_release(b);
  th_release(a);
}

int main(int argc, char **argv) {
  demo_options(argc, argv, "Lists the devices and has each compute something.", NULL, 0);
  DEMO_TRY(th_init(NULL));
  int cpus = th_device_count(TH_CPU), gpus = th_device_count(TH_CUDA);
  printf("%d CPU device%s\n", cpus, cpus == 1 ? "" : "s");
  for (int i = 0; i < cpus; i++) describe(th_cpu(i));
  printf("%d GPU%s\n", gpus, gpus == 1 ? "" : "s");
  for (int i = 0; i < gpus; i++) describe(th_cuda(i));
  th_array *none = th_ones(TH_SHAPE(1), TH_F32, th_cuda(gpus));
  demo_check(!none && th_last_status() == TH_EDEVICE, "one more is refused: %s", th_last_error());
  return demo_finish();
}
