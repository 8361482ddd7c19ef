/* Linked into each explored program: where its variables lie, and main(). */
#include "tests/explore/core.h"

extern char __data_start[], _end[];
extern char __start_ex_tls[] __attribute__((weak)), __stop_ex_tls[] __attribute__((weak));

int main(int argc, char **argv) {
  ex_areas = (ex_area){__data_start, _end, __start_ex_tls, __stop_ex_tls};
  return ex_main(argc, argv, ex_scenarios, ex_n_scenarios);
}
