/* Elementwise loops give the same bits whoever runs their blocks: alone in serial mode, or shared by any number of workers. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/ops/values.h"

TestSuite(ops_loop, .timeout = 60, .fini = stop_engine);

enum { ROWS = 301, COLUMNS = 1009, CASES = 3 }; /* nine blocks, the last one shorter */

/* exp of an array without gaps, of a transposed one, and a broadcast product. */
static void compute(int which, float *out) {
  th_array *a = noisy(TH_SHAPE(ROWS, COLUMNS), TH_F32, 3), *b = noisy(TH_SHAPE(COLUMNS), TH_F32, 3);
  th_array *turned = th_matrix_transpose(a), *x = NULL;
  if (which == 0) x = th_exp(a);
  if (which == 1) x = th_exp(turned);
  if (which == 2) x = th_multiply(a, b);
  cr_assert(eq(int, th_read(x, out, ROWS * COLUMNS * sizeof *out), TH_OK));
  th_array *all[] = {a, b, turned, x};
  for (int i = 0; i < 4; i++) th_release(all[i]);
}

Test(ops_loop, bits_do_not_depend_on_the_number_of_workers) {
  static float serial[CASES][ROWS * COLUMNS], shared[ROWS * COLUMNS];
  th_config config = {.size = sizeof config, .engine = "serial"};
  cr_assert(eq(int, th_init(&config), TH_OK));
  for (int c = 0; c < CASES; c++) compute(c, serial[c]);
  cr_assert(eq(int, th_shutdown(), TH_OK));
  for (int workers = 1; workers <= 3; workers++) {
    start_engine(workers);
    for (int c = 0; c < CASES; c++) {
      compute(c, shared);
      cr_assert(memcmp(shared, serial[c], sizeof shared) == 0, "case %d, %d workers", c, workers);
    }
    cr_assert(eq(int, th_shutdown(), TH_OK));
  }
}
