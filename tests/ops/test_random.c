#include <pthread.h>

#include "ops/random/random.h"
#include "tests/ops/values.h"

TestSuite(ops_random, .timeout = 60, .fini = stop_engine);

Test(ops_random, philox_gives_the_known_answers) {
  const struct {
    uint32_t counter[4], key[2], expected[4];
  } rows[] = {
      {{0}, {0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (int r = 0; r < 3; r++) {
    uint32_t out[4];
    th__philox(rows[r].counter, rows[r].key, out);
    for (int i = 0; i < 4; i++) cr_assert(eq(u32, out[i], rows[r].expected[i]));
  }
}

Test(ops_random, bits_are_philox_of_counter_and_seed_in_call_order) {
  uint64_t seed = UINT64_C(0x123456789abcdef0);
  th_generator *g = th_generator_new(seed);
  th_array *a = th_random_bits(g, TH_SHAPE(3, 2), th_cpu(0)),
           *b = th_random_bits(g, TH_SHAPE(4), th_cpu(0));
  uint32_t got[10], expected[12], key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  for (uint32_t block = 0; block < 3; block++)
    th__philox((const uint32_t[]){block, 0, 0, 0}, key, expected + 4 * block);
  cr_assert(eq(int, th_read(a, got, 24), TH_OK));
  cr_assert(eq(int, th_read(b, got + 6, 16), TH_OK));
  for (int i = 0; i < 6; i++) cr_assert(eq(u32, got[i], expected[i]));
  for (int i = 0; i < 4; i++) cr_assert(eq(u32, got[6 + i], expected[8 + i]));
  th_generator_release(g);
  th_release(a);
  th_release(b);
}

static bool same_bits(th_array *a, th_array *b) {
  size_t bytes = (size_t)th_array_size(a) * th_dtype_size(th_array_dtype(a));
  char *x = malloc(bytes + 1), *y = malloc(bytes + 1);
  cr_assert(eq(int, th_read(a, x, bytes), TH_OK));
  cr_assert(eq(int, th_read(b, y, bytes), TH_OK));
  bool same = th_array_size(a) == th_array_size(b) && memcmp(x, y, bytes) == 0;
  free(x);
  free(y);
  return same;
}

Test(ops_random, equal_seeds_give_equal_streams_and_others_differ) {
  th_generator *g[] = {th_generator_new(7), th_generator_new(7), th_generator_new(8)};
  for (int round = 0; round < 3; round++) {
    th_array *x[3];
    for (int i = 0; i < 3; i++) x[i] = th_normal(g[i], TH_SHAPE(1001), 0, 1, TH_F64, th_cpu(0));
    cr_assert(same_bits(x[0], x[1]), "round %d", round);
    cr_assert(same_bits(x[0], x[2]) == false, "round %d", round);
    for (int i = 0; i < 3; i++) th_release(x[i]);
  }
  for (int i = 0; i < 3; i++) th_generator_release(g[i]);
}

Test(ops_random, seed_restarts_the_default_generator) {
  th_seed(5);
  th_array *a = th_uniform(NULL, TH_SHAPE(100), 0, 1, TH_F32, th_cpu(0));
  th_array *b = th_uniform(NULL, TH_SHAPE(100), 0, 1, TH_F32, th_cpu(0));
  th_seed(5);
  th_array *c = th_uniform(NULL, TH_SHAPE(100), 0, 1, TH_F32, th_cpu(0));
  cr_assert(same_bits(a, c));
  cr_assert(same_bits(a, b) == false);
  th_array *all[] = {a, b, c};
  for (int j = 0; j < 3; j++) th_release(all[j]);
}

Test(ops_random, bits_do_not_depend_on_the_number_of_workers) {
  uint64_t first[5];
  char *data = malloc(1000003 * 8);
  for (int workers = 1; workers <= 4; workers++) {
    start_engine(workers);
    th_generator *g = th_generator_new(3);
    th_array *x[] = {th_random_bits(g, TH_SHAPE(1000003), th_cpu(0)),
                     th_uniform(g, TH_SHAPE(1000003), -1, 3, TH_F32, th_cpu(0)),
                     th_uniform(g, TH_SHAPE(1000003), -1, 3, TH_F64, th_cpu(0)),
                     th_normal(g, TH_SHAPE(1000003), 0, 1, TH_F32, th_cpu(0)),
                     th_permutation(g, 100003, th_cpu(0))};
    for (int i = 0; i < 5; i++) {
      size_t bytes = (size_t)th_array_size(x[i]) * th_dtype_size(th_array_dtype(x[i]));
      cr_assert(eq(int, th_read(x[i], data, bytes), TH_OK));
      uint64_t hash = 0;
      for (size_t j = 0; j < bytes; j++) hash = hash * 31 + (uint8_t)data[j];
      if (workers == 1) first[i] = hash;
      cr_assert(hash == first[i], "array %d, %d workers", i, workers);
      th_release(x[i]);
    }
    th_generator_release(g);
    cr_assert(eq(int, th_shutdown(), TH_OK));
  }
  free(data);
}

Test(ops_random, uniform_stays_in_its_range_and_fills_it) {
  const double ranges[][2] = {{0, 1}, {-3, 5}, {10, 10.5}, {-1, -0.25}, {2, 2}, {-1e-3, 0}};
  const th_dtype types[] = {TH_F64, TH_F32, TH_F16, TH_BF16};
  enum { N = 100000 };
  for (int t = 0; t < 4; t++)
    for (int r = 0; r < 6; r++) {
      double low = ranges[r][0], high = ranges[r][1], sum = 0, squares = 0;
      if (types[t] >= TH_F16 && types[t] <= TH_BF16 && r == 2) continue; /* few values fit there */
      th_array *a = th_uniform(NULL, TH_SHAPE(N), low, high, types[t], th_cpu(0));
      double *x = values_of(a);
      for (int i = 0; i < N; i++) {
        double slack = types[t] == TH_F64 ? 0 : fabs(low) * 0.004; /* low rounded to the type */
        cr_assert(x[i] >= low - slack && (x[i] < high || low == high), "%s, [%g, %g): %.17g",
                  th_dtype_name(types[t]), low, high, x[i]);
        double u = high > low ? (x[i] - low) / (high - low) : 0.5;
        sum += u;
        squares += (u - 0.5) * (u - 0.5);
      }
      cr_assert(fabs(sum / N - 0.5) < 0.01, "%s, range %d: mean %g", th_dtype_name(types[t]), r,
                sum / N);
      if (high > low)
        cr_assert(fabs(squares / N - 1.0 / 12) < 0.002, "%s, range %d: variance %g",
                  th_dtype_name(types[t]), r, squares / N);
      free(x);
      th_release(a);
    }
}

Test(ops_random, normal_has_the_moments_and_tails_it_should) {
  enum { N = 400001 };
  const th_dtype types[] = {TH_F64, TH_F32, TH_F16};
  for (int t = 0; t < 3; t++) {
    th_array *a = th_normal(NULL, TH_SHAPE(N), 2, 3, types[t], th_cpu(0));
    double *x = values_of(a), m1 = 0, m2 = 0, m3 = 0, m4 = 0, pairs = 0;
    int beyond = 0;
    for (int i = 0; i < N; i++) {
      double z = (x[i] - 2) / 3;
      m1 += z / N, m2 += z * z / N, m3 += z * z * z / N, m4 += z * z * z * z / N;
      if (i > 0) pairs += z * (x[i - 1] - 2) / 3 / N;
      beyond += fabs(z) > 3;
    }
    cr_assert(fabs(m1) < 0.01 && fabs(m2 - 1) < 0.015 && fabs(m3) < 0.04 && fabs(m4 - 3) < 0.1,
              "%s: %g %g %g %g", th_dtype_name(types[t]), m1, m2, m3, m4);
    cr_assert(fabs(pairs) < 0.01, "neighbours go together: %g", pairs);
    cr_assert(fabs(beyond / (N * 0.0026998) - 1) < 0.15, "%d beyond three sd", beyond);
    free(x);
    th_release(a);
  }
}

Test(ops_random, permutation_holds_every_number_once_and_is_fair) {
  for (int64_t n = 0; n <= 1000; n = n * 3 + 1) {
    th_array *a = th_permutation(NULL, n, th_cpu(0));
    cr_assert(eq(int, (int)th_array_dtype(a), TH_I64));
    double *x = values_of(a);
    bool *seen = calloc((size_t)n + 1, 1);
    for (int64_t i = 0; i < n; i++) {
      cr_assert(x[i] >= 0 && x[i] < (double)n && !seen[(int64_t)x[i]], "n %d", (int)n);
      seen[(int64_t)x[i]] = true;
    }
    free(seen);
    free(x);
    th_release(a);
  }
  int counts[6] = {0};
  for (int i = 0; i < 6000; i++) {
    int64_t x[3];
    th_array *a = th_permutation(NULL, 3, th_cpu(0));
    cr_assert(eq(int, th_read(a, x, sizeof x), TH_OK));
    counts[x[0] * 2 + (x[1] > x[2])]++;
    th_release(a);
  }
  for (int i = 0; i < 6; i++) cr_assert(abs(counts[i] - 1000) < 150, "order %d: %d", i, counts[i]);
}

static void *draw(void *arg) {
  th_array **out = arg;
  th_generator *g = (th_generator *)out[100];
  for (int i = 0; i < 100; i++) out[i] = th_random_bits(g, TH_SHAPE(4), th_cpu(0));
  return NULL;
}

Test(ops_random, threads_share_a_generator_without_getting_the_same_numbers) {
  th_generator *g = th_generator_new(1);
  th_array *out[4][101];
  pthread_t threads[4];
  for (int t = 0; t < 4; t++) {
    out[t][100] = (th_array *)g;
    cr_assert(eq(int, pthread_create(&threads[t], NULL, draw, out[t]), 0));
  }
  for (int t = 0; t < 4; t++) pthread_join(threads[t], NULL);
  bool seen[400] = {false};
  uint32_t key[2] = {1, 0}, known[400][4];
  for (uint32_t c = 0; c < 400; c++) th__philox((const uint32_t[]){c, 0, 0, 0}, key, known[c]);
  for (int t = 0; t < 4; t++)
    for (int i = 0; i < 100; i++) {
      uint32_t x[4];
      cr_assert(eq(int, th_read(out[t][i], x, sizeof x), TH_OK));
      int c = 0;
      while (c < 400 && memcmp(known[c], x, sizeof x) != 0) c++;
      cr_assert(c < 400 && !seen[c], "thread %d, call %d", t, i);
      seen[c] = true;
      th_release(out[t][i]);
    }
  th_generator_release(g);
}

Test(ops_random, a_generator_may_go_before_its_numbers_are_made) {
  th_generator *g = th_generator_new(9);
  th_array *a = th_normal(g, TH_SHAPE(200000), 0, 1, TH_F32, th_cpu(0));
  th_generator_release(g);
  cr_assert(eq(int, th_wait(a), TH_OK));
  th_release(a);
  th_generator_release(NULL);
}

Test(ops_random, refusals) {
  th_device d = th_cpu(0);
  cr_assert(th_uniform(NULL, TH_SHAPE(2), 1, 0, TH_F32, d) == NULL);
  cr_assert(failed_with(TH_EINVAL, "uniform: [1, 0)"));
  cr_assert(th_uniform(NULL, TH_SHAPE(2), 0, NAN, TH_F32, d) == NULL);
  cr_assert(failed_with(TH_EINVAL, "uniform"));
  cr_assert(th_uniform(NULL, TH_SHAPE(2), 0, 1, TH_I32, d) == NULL);
  cr_assert(failed_with(TH_EDTYPE, "uniform: element type i32"));
  cr_assert(th_normal(NULL, TH_SHAPE(2), 0, -1, TH_F32, d) == NULL);
  cr_assert(failed_with(TH_EINVAL, "normal"));
  cr_assert(th_normal(NULL, TH_SHAPE(-2), 0, 1, TH_F32, d) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "normal"));
  cr_assert(th_permutation(NULL, -1, d) == NULL);
  cr_assert(failed_with(TH_ESHAPE, "permutation"));
}

Test(ops_random, a_generator_goes_on_from_its_state) {
  th_generator *g = th_generator_new(7), *other = th_generator_new(8);
  th_release(th_random_bits(g, TH_SHAPE(9), th_cpu(0)));
  uint64_t seed, counter, again;
  th_generator_state(g, &seed, &counter);
  cr_assert(eq(u64, seed, 7));
  cr_assert(eq(u64, counter, 3), "four words each");
  th_array *wanted = th_uniform(g, TH_SHAPE(20), 0, 1, TH_F32, th_cpu(0));
  th_generator_set_state(other, seed, counter);
  th_array *got = th_uniform(other, TH_SHAPE(20), 0, 1, TH_F32, th_cpu(0));
  float a[20], b[20];
  cr_assert(th_read(wanted, a, sizeof a) == TH_OK && th_read(got, b, sizeof b) == TH_OK);
  cr_assert(zero(memcmp(a, b, sizeof a)));
  th_generator_set_state(NULL, 5, 6); /* the default one */
  th_generator_state(NULL, NULL, &again);
  cr_assert(eq(u64, again, 6));
  th_release(wanted);
  th_release(got);
  th_generator_release(g);
  th_generator_release(other);
}
