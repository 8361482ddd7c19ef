/* Owns the procedural digits: ten glyphs as strokes, bent, slanted, shifted and drawn with a round pen. Only additions,
 * multiplications, divisions and square roots are used, which IEEE 754 rounds alike everywhere, and each image draws its
 * random numbers from its own number and the seed alone. */
#include <math.h>
#include <string.h>

#include "data/data.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"

enum { MAX_POINTS = 9, STEPS = 4, MAX_SIDE = 32 };

/* A stroke of one or two glyphs: points in a box of 100 x 100, y down, joined by lines or by a smooth curve. */
typedef struct stroke {
  int8_t digit;
  int8_t n;
  bool curved;
  bool optional; /* not everybody draws it */
  uint8_t xy[MAX_POINTS][2];
} stroke;

static const stroke strokes[] = {
    {0,
     9,
     true,
     false,
     {{50, 5}, {22, 20}, {15, 50}, {22, 80}, {50, 95}, {78, 80}, {85, 50}, {78, 20}, {50, 5}}},
    {1, 2, false, true, {{30, 27}, {53, 5}}},
    {1, 2, false, false, {{53, 5}, {52, 95}}},
    {1, 2, false, true, {{30, 95}, {74, 95}}},
    {2,
     8,
     true,
     false,
     {{18, 28}, {28, 10}, {50, 5}, {75, 14}, {80, 32}, {65, 55}, {38, 76}, {15, 95}}},
    {2, 2, false, false, {{15, 95}, {85, 95}}},
    {3, 5, true, false, {{20, 15}, {45, 5}, {75, 15}, {75, 35}, {48, 48}}},
    {3, 5, true, false, {{48, 48}, {80, 58}, {82, 80}, {55, 95}, {18, 85}}},
    {4, 3, false, false, {{55, 5}, {15, 65}, {88, 65}}},
    {4, 2, false, false, {{64, 38}, {62, 95}}},
    {5, 3, false, false, {{78, 6}, {28, 6}, {24, 45}}},
    {5, 6, true, false, {{24, 45}, {50, 38}, {78, 52}, {80, 75}, {55, 94}, {20, 88}}},
    {6,
     9,
     true,
     false,
     {{70, 6}, {40, 25}, {20, 60}, {28, 88}, {52, 95}, {78, 82}, {76, 60}, {52, 50}, {24, 66}}},
    {7, 3, false, false, {{15, 6}, {85, 6}, {45, 95}}},
    {7, 2, false, true, {{38, 50}, {78, 48}}},
    {8, 7, true, false, {{50, 48}, {24, 34}, {26, 12}, {50, 4}, {74, 12}, {76, 34}, {50, 48}}},
    {8, 7, true, false, {{50, 48}, {20, 62}, {20, 86}, {50, 96}, {80, 86}, {80, 62}, {50, 48}}},
    {9,
     9,
     true,
     false,
     {{76, 32}, {52, 48}, {26, 40}, {22, 18}, {48, 5}, {74, 14}, {77, 40}, {70, 70}, {50, 95}}},
};

/* How one image is drawn: glyph box to canvas, and the pen. */
typedef struct hand {
  th__mixer mixer;
  double xx, xy, yx, yy, x0, y0; /* canvas = matrix * (glyph - 0.5) + origin, in pixels */
  double jitter;                 /* of each point, in glyph units */
  double radius;                 /* of the pen, in pixels */
  double noise;                  /* share of disturbed pixels */
} hand;

/* Squared distance of each pixel's center to the nearest stroke. */
typedef struct canvas {
  int side;
  double distance[MAX_SIDE * MAX_SIDE];
} canvas;

static double between(th__mixer *m, double lo, double hi) {
  return lo + (hi - lo) * th__mixer_uniform(m);
}

static hand take_hand(int side, uint64_t seed, int64_t image) {
  hand h = {.mixer = th__mixer_start(seed, (uint64_t)image)};
  th__mixer *m = &h.mixer;
  double box = side * (side == 32 ? 0.86 : 0.70); /* UCI's digits fill their box, MNIST's do not */
  double width = box * between(m, 0.62, 1.0), height = box * between(m, 0.80, 1.0);
  double slant = between(m, -0.45, 0.45), half_turn = between(m, -0.12, 0.12);
  /* Rotation by 2 atan(half_turn) without trigonometry. */
  double scale = 1 / (1 + half_turn * half_turn);
  double c = (1 - half_turn * half_turn) * scale, s = 2 * half_turn * scale;
  h.xx = c * width;
  h.xy = (-c * slant - s) * height;
  h.yx = s * width;
  h.yy = (c - s * slant) * height;
  h.x0 = side * (0.5 + between(m, -0.07, 0.07));
  h.y0 = side * (0.5 + between(m, -0.07, 0.07));
  h.jitter = between(m, 0.02, 0.11);
  h.radius = side * between(m, 0.030, 0.075);
  h.noise = between(m, 0.0, 0.05);
  return h;
}

static void draw_line(canvas *c, const double *a, const double *b, double reach) {
  double dx = b[0] - a[0], dy = b[1] - a[1], length2 = dx * dx + dy * dy;
  double left = (a[0] < b[0] ? a[0] : b[0]) - reach, right = (a[0] < b[0] ? b[0] : a[0]) + reach;
  double top = (a[1] < b[1] ? a[1] : b[1]) - reach, bottom = (a[1] < b[1] ? b[1] : a[1]) + reach;
  int x_first = left > 0 ? (int)left : 0, y_first = top > 0 ? (int)top : 0;
  for (int y = y_first; y < c->side && y <= bottom; y++) {
    for (int x = x_first; x < c->side && x <= right; x++) {
      double px = x + 0.5 - a[0], py = y + 0.5 - a[1];
      double t = length2 > 0 ? (px * dx + py * dy) / length2 : 0;
      t = t < 0 ? 0 : t > 1 ? 1 : t;
      double ex = px - t * dx, ey = py - t * dy, d = ex * ex + ey * ey;
      double *pixel = &c->distance[y * c->side + x];
      if (d < *pixel) *pixel = d;
    }
  }
}

/* Point at t of the Catmull-Rom curve between p[1] and p[2]. */
static double curve_at(double p0, double p1, double p2, double p3, double t) {
  return p1 +
         0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)));
}

static void draw_stroke(canvas *c, hand *h, const stroke *s) {
  double p[MAX_POINTS][2];
  for (int i = 0; i < s->n; i++) {
    double x = s->xy[i][0] * 0.01 - 0.5 + between(&h->mixer, -h->jitter, h->jitter);
    double y = s->xy[i][1] * 0.01 - 0.5 + between(&h->mixer, -h->jitter, h->jitter);
    p[i][0] = h->x0 + h->xx * x + h->xy * y;
    p[i][1] = h->y0 + h->yx * x + h->yy * y;
  }
  double reach = h->radius + 1.5, from[2] = {p[0][0], p[0][1]};
  for (int i = 0; i + 1 < s->n; i++) {
    int before = i > 0 ? i - 1 : 0, after = i + 2 < s->n ? i + 2 : s->n - 1;
    for (int k = 1; k <= (s->curved ? STEPS : 1); k++) {
      double to[2] = {p[i + 1][0], p[i + 1][1]};
      if (s->curved) {
        double t = (double)k / STEPS;
        to[0] = curve_at(p[before][0], p[i][0], p[i + 1][0], p[after][0], t);
        to[1] = curve_at(p[before][1], p[i][1], p[i + 1][1], p[after][1], t);
      }
      draw_line(c, from, to, reach);
      memcpy(from, to, sizeof(from));
    }
  }
}

/* 32 x 32 black and white, disturbed, counted in blocks of 4 x 4: as the UCI set was made. */
static void read_blocks(const canvas *c, hand *h, float *out) {
  memset(out, 0, 64 * sizeof(*out));
  for (int y = 0; y < 32; y++) {
    for (int x = 0; x < 32; x++) {
      bool ink = c->distance[y * 32 + x] < h->radius * h->radius;
      if (th__mixer_uniform(&h->mixer) < h->noise) ink = !ink;
      if (ink) out[y / 4 * 8 + x / 4] += 1;
    }
  }
}

/* 28 x 28 in 256 grays: ink covers a pixel in proportion to how far its center lies inside the pen's edge. */
static void read_grays(const canvas *c, hand *h, float *out) {
  for (int i = 0; i < 28 * 28; i++) {
    double cover = h->radius + 0.5 - sqrt(c->distance[i]);
    cover = cover < 0 ? 0 : cover > 1 ? 1 : cover;
    if (th__mixer_uniform(&h->mixer) < h->noise)
      cover = 0.6 * cover + 0.4 * between(&h->mixer, 0, 1);
    out[i] = (float)floor(cover * 255 + 0.5);
  }
}

static int64_t draw_digit(int size, uint64_t seed, int64_t image, float *out) {
  canvas c = {.side = size == 8 ? 32 : 28};
  hand h = take_hand(c.side, seed, image);
  int digit = (int)(th__mixer_uniform(&h.mixer) * 10);
  for (int i = 0; i < c.side * c.side; i++) c.distance[i] = 1e6;
  for (size_t i = 0; i < sizeof(strokes) / sizeof(strokes[0]); i++) {
    if (strokes[i].digit != digit) continue;
    if (strokes[i].optional && th__mixer_uniform(&h.mixer) < 0.5) continue;
    draw_stroke(&c, &h, &strokes[i]);
  }
  if (size == 8) {
    read_blocks(&c, &h, out);
  } else {
    read_grays(&c, &h, out);
  }
  return digit;
}

th_status th_digits(int64_t n, int size, uint64_t seed, th_array **images, th_array **labels) {
  if (size != 8 && size != 28) return th__fail(TH_EINVAL, "digits: size %d is not 8 or 28", size);
  if (n < 0) return th__fail(TH_ESHAPE, "digits: n %lld is negative", (long long)n);
  if (images == NULL || labels == NULL) {
    return th__fail(TH_EINVAL, "digits: images or labels is NULL");
  }
  int64_t pixels = (int64_t)size * size, bytes;
  if (__builtin_mul_overflow(n, pixels * (int64_t)sizeof(float), &bytes)) {
    return th__fail(TH_EOVERFLOW, "digits: n %lld is too large", (long long)n);
  }
  float *image = th__alloc((size_t)bytes + 1);
  int64_t *label = th__alloc((size_t)n * sizeof(*label) + 1);
  th_status status = image != NULL && label != NULL ? TH_OK : TH_ENOMEM;
  if (status == TH_OK) {
    for (int64_t i = 0; i < n; i++) label[i] = draw_digit(size, seed, i, image + i * pixels);
    th_array *made = th_from_host(image, TH_SHAPE(n, pixels), TH_F32, th_cpu(0));
    th_array *named = th_from_host(label, TH_SHAPE(n), TH_I64, th_cpu(0));
    if (made != NULL && named != NULL) {
      *images = made;
      *labels = named;
    } else {
      status = th_last_status();
      th_release(made);
      th_release(named);
    }
  }
  th__free(image);
  th__free(label);
  return status;
}
