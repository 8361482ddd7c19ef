/* Statistics of random numbers. Seeds are fixed, so a result is the same every time; each figure is how many standard
 * deviations it is off what chance would give, and none may be above 5. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stress/limits.h"
#include "thrum/thrum.h"

enum { PIECE = 1 << 18, BINS = 256, LAGS = 8 };
static const double most = 5;

typedef struct figures {
  double worst;
  const char *name;
} figures;

static void note(figures *f, const char *name, double z) {
  if (!(fabs(z) <= f->worst)) f->worst = fabs(z), f->name = name;
}

/* Sums over all pieces of one stream. */
typedef struct sums {
  double n, power[5], product[LAGS + 1], bin[BINS], with_other;
} sums;

/* Values scaled to mean 0 and variance 1; their place in the distribution as a number of a bin. */
static void add_piece(sums *s, const double *x, const double *other, const int *bin) {
  for (int i = 0; i < PIECE; i++) {
    double power = 1;
    for (int p = 1; p <= 4; p++) s->power[p] += power *= x[i];
    s->bin[bin[i]]++;
    s->with_other += x[i] * other[i];
  }
  for (int lag = 1; lag <= LAGS; lag++)
    for (int i = lag; i < PIECE; i++) s->product[lag] += x[i] * x[i - lag];
  s->n += PIECE;
}

/* moment: the distribution's 4th, 6th and 8th moment, for the deviation of the sums of powers. */
static void judge(figures *f, const sums *s, const double *moment) {
  double root = sqrt(s->n), expected = s->n / BINS, chi = 0;
  note(f, "mean", s->power[1] / root);
  note(f, "variance", (s->power[2] - s->n) / (root * sqrt(moment[0] - 1)));
  note(f, "third moment", s->power[3] / (root * sqrt(moment[1])));
  note(f, "fourth moment",
       (s->power[4] - s->n * moment[0]) / (root * sqrt(moment[2] - moment[0] * moment[0])));
  for (int lag = 1; lag <= LAGS; lag++)
    note(f, "correlation with later numbers", s->product[lag] / root);
  note(f, "correlation with another stream", s->with_other / root);
  for (int b = 0; b < BINS; b++) chi += (s->bin[b] - expected) * (s->bin[b] - expected) / expected;
  note(f, "chi-square of bins", (chi - (BINS - 1)) / sqrt(2.0 * (BINS - 1)));
}

static bool draw(th_generator *g, bool normal, double *out) {
  th_array *a = normal ? th_normal(g, TH_SHAPE(PIECE), 0, 1, TH_F64, th_cpu(0))
                       : th_uniform(g, TH_SHAPE(PIECE), 0, 1, TH_F64, th_cpu(0));
  bool good = th_read(a, out, PIECE * sizeof *out) == TH_OK;
  th_release(a);
  return good;
}

/* The bin of a value in the distribution, all equally likely; uniform values are scaled on the way. */
static void prepare(double *x, int *bin, bool normal) {
  for (int i = 0; i < PIECE; i++) {
    double place = normal ? 0.5 * erfc(-x[i] * sqrt(0.5)) : x[i];
    int b = (int)(place * BINS);
    bin[i] = b < 0 ? 0 : b >= BINS ? BINS - 1 : b;
    if (!normal) x[i] = (x[i] - 0.5) * sqrt(12);
  }
}

/* One distribution: two generators of neighbouring seeds. */
static bool distribution(figures *f, bool normal, long pieces, double *memory, int *bin) {
  static const double uniform_moments[] = {9.0 / 5, 27.0 / 7, 9}, normal_moments[] = {3, 15, 105};
  sums s = {0};
  th_generator *g[2] = {th_generator_new(2026), th_generator_new(2027)};
  bool good = g[0] && g[1];
  for (long p = 0; good && p < pieces; p++) {
    double *x = memory, *other = memory + PIECE;
    good = draw(g[1], normal, other) && draw(g[0], normal, x);
    prepare(other, bin, normal);
    prepare(x, bin, normal);
    add_piece(&s, x, other, bin);
  }
  judge(f, &s, normal ? normal_moments : uniform_moments);
  for (int i = 0; i < 2; i++) th_generator_release(g[i]);
  return good;
}

/* Each bit of the words, and pairs of neighbouring bytes. */
static bool bits(figures *f, long pieces, uint32_t *words) {
  double set[32] = {0}, n = (double)pieces * PIECE, expected = 2 * n / BINS, chi = 0,
         bin[BINS] = {0};
  th_generator *g = th_generator_new(7);
  bool good = g != NULL;
  for (long p = 0; good && p < pieces; p++) {
    th_array *a = th_random_bits(g, TH_SHAPE(PIECE), th_cpu(0));
    good = th_read(a, words, PIECE * sizeof *words) == TH_OK;
    th_release(a);
    for (int i = 0; i < PIECE; i++) {
      for (int b = 0; b < 32; b++) set[b] += words[i] >> b & 1;
      bin[(words[i] ^ words[i] >> 8) & 255]++;
      bin[(words[i] >> 16 ^ words[i] >> 24) & 255]++;
    }
  }
  th_generator_release(g);
  for (int b = 0; b < 32; b++) note(f, "a bit", (set[b] - n / 2) / sqrt(n / 4));
  for (int b = 0; b < BINS; b++) chi += (bin[b] - expected) * (bin[b] - expected) / expected;
  note(f, "chi-square of neighbouring bytes", (chi - (BINS - 1)) / sqrt(2.0 * (BINS - 1)));
  return good;
}

bool random_statistics(long n, char *message, size_t bytes) {
  long pieces = n / PIECE > 0 ? n / PIECE : 1;
  th_config config = {.size = sizeof config, .workers = 2};
  double *memory = malloc(2 * PIECE * sizeof *memory);
  int *bin = malloc(PIECE * sizeof *bin);
  figures f = {0, "nothing"};
  bool good = memory && bin && th_init(&config) == TH_OK;
  good = good && distribution(&f, false, pieces, memory, bin) &&
         distribution(&f, true, pieces, memory, bin) && bits(&f, pieces, (uint32_t *)memory);
  if (!good) {
    snprintf(message, bytes, "could not draw: %s", th_last_error());
  } else {
    snprintf(message, bytes, "%ld numbers of each kind; furthest off is %s, by %.2f deviations",
             pieces * PIECE, f.name, f.worst);
  }
  free(memory);
  free(bin);
  return th_shutdown() == TH_OK && good && f.worst <= most;
}
