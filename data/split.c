/* Owns cutting index sets at random. */
#include <math.h>

#include "data/data.h"
#include "engine/base/error.h"
#include "thrum/ops.h"

static th_status check(int64_t n, const double *fractions, int k, th_array **indices) {
  if (n < 0) return th__fail(TH_ESHAPE, "split: n %lld is negative", (long long)n);
  if (k < 1 || fractions == NULL || indices == NULL) {
    return th__fail(TH_EINVAL, "split: needs fractions and a place for %d results", k);
  }
  double sum = 0;
  for (int i = 0; i < k; i++) {
    if (!(fractions[i] >= 0 && fractions[i] <= 1)) {
      return th__fail(TH_EINVAL, "split: fraction %d is %g, not in [0, 1]", i, fractions[i]);
    }
    sum += fractions[i];
  }
  /* Sums such as 0.7 + 0.2 + 0.1 come out a hair above 1. */
  if (sum > 1 + 1e-9) return th__fail(TH_EINVAL, "split: the fractions sum to %.17g > 1", sum);
  return TH_OK;
}

/* Part [first, first + size) of the permutation as an array of its own. */
static th_array *cut(th_array *permutation, int64_t first, int64_t size) {
  char spec[64];
  snprintf(spec, sizeof(spec), "%lld:%lld", (long long)first, (long long)(first + size));
  th_array *view = th_slice(permutation, spec);
  th_array *part = th_copy(view);
  th_release(view);
  return part;
}

th_status th_split(int64_t n, const double *fractions, int k, uint64_t seed, th_array **indices) {
  TH_TRY(check(n, fractions, k, indices));
  th_scope scope = th__scope_suspend();
  th_generator *g = th_generator_new(seed);
  th_array *permutation = g != NULL ? th_permutation(g, n, th_cpu(0)) : NULL;
  th_status status = permutation != NULL ? TH_OK : th_last_status();
  int made = 0;
  for (int64_t first = 0; made < k && status == TH_OK; made++) {
    /* The small addend makes floor(100 * 0.29) 29. */
    int64_t size = (int64_t)floor((double)n * fractions[made] + 1e-9);
    if (made == k - 1 || size > n - first) size = n - first;
    indices[made] = cut(permutation, first, size);
    if (indices[made] == NULL) {
      status = th_last_status();
      break;
    }
    first += size;
  }
  while (status != TH_OK && made > 0) {
    th_release(indices[--made]);
    indices[made] = NULL;
  }
  th_release(permutation);
  th_generator_release(g);
  th__scope_resume(scope, NULL);
  for (int i = 0; i < made; i++) th__hand_out(indices[i]);
  return status;
}
