/* Splits: sizes, disjointness, seeds, refusals. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "support/arrays.h"

TestSuite(split, .timeout = 60, .fini = stop_engine);

Test(split, sizes_union_and_disjointness) {
  enum { N = 1797 };
  const double fractions[] = {0.8, 0.1, 0.1};
  static const int64_t sizes[] = {1437, 179, 181};
  th_array *parts[3];
  cr_assert(eq(int, th_split(N, fractions, 3, 0, parts), TH_OK), "%s", th_last_error());
  int seen[N] = {0};
  bool in_order = true;
  for (int p = 0; p < 3; p++) {
    cr_assert(eq(i64, th_array_size(parts[p]), sizes[p]), "part %d", p);
    cr_assert(eq(int, th_array_dtype(parts[p]), TH_I64));
    int64_t index[N];
    cr_assert(eq(int, th_read(parts[p], index, (size_t)sizes[p] * sizeof(int64_t)), TH_OK));
    for (int64_t i = 0; i < sizes[p]; i++) {
      cr_assert(index[i] >= 0 && index[i] < N, "index %lld", (long long)index[i]);
      seen[index[i]]++;
      if (i > 0 && index[i] < index[i - 1]) in_order = false;
    }
    th_release(parts[p]);
  }
  for (int i = 0; i < N; i++) cr_assert(seen[i] == 1, "index %d came %d times", i, seen[i]);
  cr_assert(not(in_order), "nothing was shuffled");
}

static void first_part(uint64_t seed, int64_t out[50]) {
  const double half[] = {0.5, 0.5};
  th_array *parts[2];
  cr_assert(eq(int, th_split(100, half, 2, seed, parts), TH_OK));
  th_read(parts[0], out, 50 * sizeof(*out));
  th_release(parts[0]);
  th_release(parts[1]);
}

Test(split, seeds) {
  int64_t a[50], b[50], c[50];
  first_part(1, a);
  first_part(1, b);
  first_part(2, c);
  cr_assert(zero(memcmp(a, b, sizeof(a))));
  cr_assert(memcmp(a, c, sizeof(a)) != 0);
}

Test(split, edges_and_refusals) {
  th_array *parts[3];
  const double thirds[] = {0.7, 0.2, 0.1}, small[] = {0.29, 0.0}, bad[] = {0.5, 0.6};
  const double negative[] = {-0.1}, not_a_number[] = {NAN};
  cr_assert(eq(int, th_split(0, thirds, 3, 0, parts), TH_OK), "%s", th_last_error());
  for (int i = 0; i < 3; i++) {
    cr_assert(eq(i64, th_array_size(parts[i]), 0));
    th_release(parts[i]);
  }
  cr_assert(eq(int, th_split(100, small, 2, 0, parts), TH_OK));
  cr_assert(eq(i64, th_array_size(parts[0]), 29));
  cr_assert(eq(i64, th_array_size(parts[1]), 71), "the remainder goes to the last");
  th_release(parts[0]);
  th_release(parts[1]);
  cr_assert(eq(int, th_split(100, bad, 2, 0, parts), TH_EINVAL));
  cr_assert(strstr(th_last_error(), "sum") != NULL, "%s", th_last_error());
  cr_assert(eq(int, th_split(100, negative, 1, 0, parts), TH_EINVAL));
  cr_assert(eq(int, th_split(100, not_a_number, 1, 0, parts), TH_EINVAL));
  cr_assert(eq(int, th_split(-1, small, 2, 0, parts), TH_ESHAPE));
  cr_assert(eq(int, th_split(10, NULL, 2, 0, parts), TH_EINVAL));
}

Test(split, scopes_own_the_parts) {
  const double half[] = {0.5, 0.5};
  th_scope scope = th_scope_begin();
  th_array *parts[2];
  cr_assert(eq(int, th_split(10, half, 2, 0, parts), TH_OK));
  th_array *kept = th_keep(parts[0]);
  th_scope_end(scope);
  cr_assert(eq(i64, th_array_size(kept), 5));
  th_release(kept);
}
