/* An outside program, compiled as C and as C++: adds two 2x2 arrays and checks the sum. */
#include <stdio.h>
#include <thrum/thrum.h>

int main(void) {
  th_array *a = th_full(TH_SHAPE(2, 2), 2.0, TH_F32, th_cpu(0));
  th_array *b = th_full(TH_SHAPE(2, 2), 2.0, TH_F32, th_cpu(0));
  th_array *sum = th_add(a, b);
  float got[4] = {0};
  if (th_read(sum, got, sizeof got) != TH_OK) {
    fprintf(stderr, "%s\n", th_last_error());
    return 1;
  }
  printf("%s: %g %g %g %g\n", th_version_string(), (double)got[0], (double)got[1], (double)got[2],
         (double)got[3]);
  th_release(a);
  th_release(b);
  th_release(sum);
  return got[0] == 4 && got[1] == 4 && got[2] == 4 && got[3] == 4 ? 0 : 1;
}
