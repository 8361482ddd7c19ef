/* Teaches small networks to tell two kinds of points apart and draws what they decide. The six sets are minitorch's; a network
 * without hidden units draws one line, more units bend it. */
#include <math.h>
#include <string.h>

#include "common/demo.h"

static th_device device; /* of the networks and of what they learn from */

enum { POINTS = 50, COLUMNS = 48, ROWS = 20, MOST_PARAMS = 6 };

/* Points in about [0, 1)^2 and their kinds, 0 or 1. */
typedef struct point_set {
  float places[POINTS][2];
  float kinds[POINTS][1];
} point_set;

static bool simple(double x, double y) { return x < 0.5; }
static bool diag(double x, double y) { return x + y < 0.5; }
static bool split(double x, double y) { return x < 0.2 || x > 0.8; }
static bool xor_(double x, double y) { return (x < 0.5) != (y < 0.5); }
static bool circle(double x, double y) { return hypot(x - 0.5, y - 0.5) > sqrt(0.1); }

typedef struct point_kind {
  const char *name;
  bool (*rule)(double x, double y); /* which kind a random place is; NULL: two arms of a spiral */
} point_kind;
static const point_kind sets[] = {{"simple", simple}, {"diag", diag},     {"split", split},
                                  {"xor", xor_},      {"circle", circle}, {"spiral", NULL}};
enum { SETS = sizeof sets / sizeof *sets };

static point_set make_points(const point_kind *set, th_generator *g) {
  point_set p;
  th_array *places = DEMO_MAKE(th_uniform(g, TH_SHAPE(POINTS, 2), 0, 1, TH_F32, device));
  DEMO_TRY(th_read(places, p.places, sizeof p.places));
  th_release(places);
  for (int i = 0; i < POINTS; i++) {
    float *at = p.places[i];
    if (set->rule) {
      p.kinds[i][0] = set->rule((double)at[0], (double)at[1]);
    } else { /* the second arm is the first, turned by a quarter */
      double t = 10 * (5 + i % (POINTS / 2)) / (POINTS / 2.);
      double along = t * cos(t) / 20, across = t * sin(t) / 20;
      bool second = i >= POINTS / 2;
      at[0] = (float)(0.5 + (second ? across : along));
      at[1] = (float)(0.5 + (second ? -along : across));
      p.kinds[i][0] = second;
    }
  }
  return p;
}

/* 2-hidden-hidden-1, or 2-1 without hidden units. */
typedef struct network {
  int n;
  th_array *params[MOST_PARAMS]; /* weight, bias of each layer */
} network;

static network make_network(long hidden, th_generator *g) {
  const int64_t deep[] = {2, hidden, hidden, 1}, flat[] = {2, 1};
  network net = {.n = hidden > 0 ? 6 : 2};
  const int64_t *sizes = hidden > 0 ? deep : flat;
  for (int i = 0; i < net.n; i += 2, sizes++) {
    double sd = sqrt(2. / (double)sizes[0]); /* He et al. 2015 */
    net.params[i] = DEMO_MAKE(th_normal(g, TH_SHAPE(sizes[0], sizes[1]), 0, sd, TH_F32, device));
    net.params[i + 1] = DEMO_MAKE(th_zeros(TH_SHAPE(sizes[1]), TH_F32, device));
  }
  for (int i = 0; i < net.n; i++) DEMO_TRY(th_require_grad(net.params[i]));
  return net;
}

/* places (n, 2) -> (n, 1): above 0 it takes them for kind 1. Training is easier with numbers around 0. */
static th_array *forward(const network *net, th_array *x) {
  x = th_multiply_scalar(th_subtract_scalar(x, 0.5), 4);
  for (int i = 0; i < net->n; i += 2) {
    x = th_linear(x, net->params[i], net->params[i + 1]);
    if (i + 2 < net->n) x = th_relu(x);
  }
  return DEMO_MAKE(x);
}

static double train(const network *net, const point_set *p, long steps, double lr) {
  th_array *places = DEMO_MAKE(th_from_host(p->places, TH_SHAPE(POINTS, 2), TH_F32, device));
  th_array *kinds = DEMO_MAKE(th_from_host(p->kinds, TH_SHAPE(POINTS, 1), TH_F32, device));
  th_array *loss = NULL;
  th_optimizer *adam = th_adam(net->params, net->n, &(th_adam_config){.lr = lr});
  if (!adam) demo_die("th_adam: %s", th_last_error());
  for (long step = 0; step < steps; step++) {
    th_scope scope = th_scope_begin();
    th_release(loss);
    loss = th_keep(DEMO_MAKE(th_bce_with_logits(forward(net, places), kinds)));
    DEMO_TRY(th_backward(loss, 0));
    DEMO_TRY(th_optimizer_step(adam));
    th_optimizer_zero_grad(adam);
    th_scope_end(scope);
  }
  double last = demo_item(loss);
  th_optimizer_release(adam);
  th_array *all[] = {places, kinds, loss};
  for (int i = 0; i < 3; i++) th_release(all[i]);
  return last;
}

/* What the network gives for n places. */
static void decide(const network *net, float (*places)[2], int n, float *out) {
  bool was = th_grad_mode(false);
  th_scope scope = th_scope_begin();
  th_array *x = DEMO_MAKE(th_from_host(places, TH_SHAPE(n, 2), TH_F32, device));
  DEMO_TRY(th_read(forward(net, x), out, (size_t)n * sizeof *out));
  th_scope_end(scope);
  th_grad_mode(was);
}

/* Dots where it would say 1; points are o and x, in capitals where it is wrong. */
static void draw(const network *net, point_set *p, const float *answers) {
  static float places[ROWS * COLUMNS][2], out[ROWS * COLUMNS];
  char cells[ROWS][COLUMNS + 1];
  for (int i = 0; i < ROWS * COLUMNS; i++) {
    places[i][0] = ((float)(i % COLUMNS) + 0.5f) / COLUMNS;
    places[i][1] = 1 - ((float)(i / COLUMNS) + 0.5f) / ROWS;
  }
  decide(net, places, ROWS * COLUMNS, out);
  for (int i = 0; i < ROWS * COLUMNS; i++) cells[i / COLUMNS][i % COLUMNS] = out[i] > 0 ? '.' : ' ';
  for (int i = 0; i < POINTS; i++) {
    int column = (int)floor((double)p->places[i][0] * COLUMNS);
    int row = (int)floor((1 - (double)p->places[i][1]) * ROWS);
    bool one = p->kinds[i][0] > 0, right = (answers[i] > 0) == one;
    if (column < 0 || column >= COLUMNS || row < 0 || row >= ROWS) continue;
    cells[row][column] = (char)(one ? (right ? 'x' : 'X') : (right ? 'o' : 'O'));
  }
  for (int r = 0; r < ROWS; r++) printf("  |%.*s|\n", COLUMNS, cells[r]);
}

typedef struct settings {
  const char *set;
  long hidden, steps, seed;
  double lr;
  bool quiet;
} settings;

/* Trains for one set; returns how many points are told right. */
static int learn(const settings *s, const point_kind *set, long hidden, bool drawn) {
  float answers[POINTS];
  int right = 0;
  th_generator *g = th_generator_new((uint64_t)s->seed);
  point_set p = make_points(set, g);
  network net = make_network(hidden, g);
  double loss = train(&net, &p, s->steps, s->lr);
  decide(&net, p.places, POINTS, answers);
  for (int i = 0; i < POINTS; i++) right += (answers[i] > 0) == (p.kinds[i][0] > 0);
  printf("%s, %ld hidden: loss %.4f, %d of %d right\n", set->name, hidden, loss, right, POINTS);
  if (drawn) draw(&net, &p, answers);
  for (int i = 0; i < net.n; i++) th_release(net.params[i]);
  th_generator_release(g);
  return right;
}

int main(int argc, char **argv) {
  settings s = {.set = "", .hidden = 10, .steps = 500, .seed = 1, .lr = 0.05};
  const demo_option options[] = {
      {"set", "simple, diag, split, xor, circle or spiral; else all, and what to expect of them",
       .text = &s.set},
      {"hidden", "units in each of two hidden layers; 0 = no such layers", .integer = &s.hidden},
      {"steps", "of training", .integer = &s.steps},
      {"lr", "learning rate of Adam", .number = &s.lr},
      {"seed", "of points and weights", .integer = &s.seed},
      {"quiet", "no maps", .flag = &s.quiet},
      DEMO_DEVICE(&device),
  };
  DEMO_OPTIONS(argc, argv, "Networks learn to tell points apart and draw what they decide.",
               options);
  if (s.steps < 1 || s.hidden < 0) demo_die("--steps must be at least 1, --hidden 0");
  int known = 0;
  for (int i = 0; i < SETS; i++) {
    if (*s.set && strcmp(s.set, sets[i].name) != 0) continue;
    learn(&s, &sets[i], s.hidden, !s.quiet);
    known++;
  }
  if (!known) demo_die("--set: there is no '%s'; try --help", s.set);
  if (!*s.set) {
    int xor_right = learn(&s, &sets[3], 10, false), split_right = learn(&s, &sets[2], 1, false);
    demo_check(xor_right >= 48, "xor, 10 hidden: at least 48 right");
    demo_check(split_right < POINTS, "split, 1 hidden: not all right, as it draws one line");
  }
  return demo_finish();
}
