/* Tells whether a sentence praises or complains, with a convolution over words: each filter looks at three neighbours, the largest
 * answer of all places counts (Kim 2014). Sentences are made up; "not" turns them round, so single words do not suffice. */
#include <math.h>
#include <string.h>

#include "common/demo.h"

static th_device device; /* of the sentences and of the model */

enum { LENGTH = 20, WORDS = 64, WORD_BYTES = 16, SENTENCES = 2500, TRAIN = 2000, TEXT = 160 };
enum { WIDTH = 24, FILTERS = 24, NEAR = 3, PARAMS = 5 };

/* Ids of words in order of appearance; 0 is no word. */
typedef struct vocabulary {
  char words[WORDS][WORD_BYTES];
  int n;
} vocabulary;

/* The id of a word; of one not seen before a new one, or 0 when the vocabulary is closed. */
static int64_t id_of(vocabulary *v, const char *word, bool closed) {
  for (int i = 1; i < v->n; i++)
    if (strcmp(v->words[i], word) == 0) return i;
  if (closed || v->n == WORDS) return 0;
  snprintf(v->words[v->n], WORD_BYTES, "%.15s", word);
  return v->n++;
}

static void encode(vocabulary *v, const char *sentence, bool closed, int64_t *ids) {
  char copy[TEXT], *rest = NULL;
  snprintf(copy, sizeof copy, "%s", sentence);
  memset(ids, 0, LENGTH * sizeof *ids);
  char *word = strtok_r(copy, " ", &rest);
  for (int i = 0; i < LENGTH && word; i++, word = strtok_r(NULL, " ", &rest))
    ids[i] = id_of(v, word, closed);
}

static unsigned draw(uint64_t *state, unsigned below) {
  *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (unsigned)(*state >> 33) % below;
}

#define ONE_OF(list) ((list)[draw(state, sizeof(list) / sizeof *(list))])

/* Writes a sentence, such as "we saw the film today and the end was not really bad"; returns 1 when it praises, else 0. */
static int make_sentence(char *out, uint64_t *state) {
  static const char *const good[] = {"good", "great", "funny", "clever", "lovely", "brilliant"};
  static const char *const bad[] = {"bad", "dull", "boring", "awful", "silly", "terrible"};
  static const char *const plain[] = {"long", "short", "loud", "new", "old", "quiet"};
  static const char *const parts[] = {"story", "music", "acting", "end", "plot", "cast"};
  static const char *const starts[] = {"we saw the film", "my friend wrote the book",
                                       "they played the song"};
  static const char *const times[] = {"today ", "on monday ", "again ", ""};
  static const char *const very[] = {"", "really ", "very ", "so "};
  static const char *const nots[] = {"", "not "};
  bool praises = draw(state, 2), turned = draw(state, 2);
  char opinion[48], remark[48];
  snprintf(opinion, sizeof opinion, "the %s was %s%s%s", ONE_OF(parts), nots[turned], ONE_OF(very),
           praises != turned ? ONE_OF(good) : ONE_OF(bad));
  snprintf(remark, sizeof remark, "the %s was %s%s%s", ONE_OF(parts), ONE_OF(nots), ONE_OF(very),
           ONE_OF(plain));
  bool first = draw(state, 2);
  snprintf(out, TEXT, "%s %s%s and %s", ONE_OF(starts), ONE_OF(times), first ? opinion : remark,
           first ? remark : opinion);
  return praises;
}

typedef struct corpus {
  vocabulary words;
  th_array *x, *y, *test_x, *test_y; /* ids (n, LENGTH), 1 for praise (n, 1) */
} corpus;

static corpus make_corpus(uint64_t *state) {
  static int64_t ids[SENTENCES][LENGTH];
  static float praises[SENTENCES];
  enum { TEST = SENTENCES - TRAIN };
  corpus c = {.words.n = 1};
  char text[TEXT];
  for (int i = 0; i < SENTENCES; i++) {
    praises[i] = (float)make_sentence(text, state);
    encode(&c.words, text, false, ids[i]);
  }
  c.x = DEMO_MAKE(th_from_host(ids, TH_SHAPE(TRAIN, LENGTH), TH_I64, device));
  c.y = DEMO_MAKE(th_from_host(praises, TH_SHAPE(TRAIN, 1), TH_F32, device));
  c.test_x = DEMO_MAKE(th_from_host(ids[TRAIN], TH_SHAPE(TEST, LENGTH), TH_I64, device));
  c.test_y = DEMO_MAKE(th_from_host(praises + TRAIN, TH_SHAPE(TEST, 1), TH_F32, device));
  printf("%d sentences to learn from, %d others, %d words\n", TRAIN, TEST, c.words.n - 1);
  return c;
}

/* Table of words; filters, their biases; weights of the answer, its bias. */
static void make_params(th_array **p, int words, th_generator *g) {
  p[0] = DEMO_MAKE(th_normal(g, TH_SHAPE(words, WIDTH), 0, 0.5, TH_F32, device));
  p[1] = DEMO_MAKE(
      th_normal(g, TH_SHAPE(FILTERS, WIDTH, NEAR), 0, sqrt(2. / (WIDTH * NEAR)), TH_F32, device));
  p[2] = DEMO_MAKE(th_zeros(TH_SHAPE(FILTERS), TH_F32, device));
  p[3] = DEMO_MAKE(th_normal(g, TH_SHAPE(FILTERS, 1), 0, sqrt(1. / FILTERS), TH_F32, device));
  p[4] = DEMO_MAKE(th_zeros(TH_SHAPE(1), TH_F32, device));
  for (int i = 0; i < PARAMS; i++) DEMO_TRY(th_require_grad(p[i]));
}

/* ids (n, LENGTH) -> (n, 1), above 0 for praise. */
static th_array *forward(th_array *const *p, const th_array *ids) {
  th_array *words = th_embedding(p[0], ids); /* (n, LENGTH, WIDTH) */
  th_array *channels = th_permute_dims(words, (int[]){0, 2, 1}, 3);
  th_array *found = th_relu(th_conv1d(channels, p[1], p[2], &(th_conv_config){.padding = {1}}));
  return DEMO_MAKE(th_linear(th_max(found, (int[]){2}, 1, false), p[3], p[4]));
}

static double accuracy(th_array *const *p, const corpus *c) {
  bool was = th_grad_mode(false);
  th_scope scope = th_scope_begin();
  th_array *guess = th_greater_scalar(forward(p, c->test_x), 0);
  th_array *hit = th_equal(guess, th_astype(c->test_y, TH_BOOL));
  double value = demo_item(DEMO_MAKE(th_mean(th_astype(hit, TH_F32), NULL, 0, false)));
  th_scope_end(scope);
  th_grad_mode(was);
  return value;
}

/* One pass over the training set; returns the mean loss. */
static double train_epoch(th_array *const *p, th_loader *loader, th_optimizer *optimizer) {
  th_array *sum = DEMO_MAKE(th_zeros(TH_SCALAR, TH_F32, device)), *batch[2];
  int64_t rows;
  do {
    th_scope scope = th_scope_begin();
    rows = th_loader_next(loader, batch);
    if (rows < 0) demo_die("th_loader_next: %s", th_last_error());
    if (rows > 0) {
      th_array *loss = DEMO_MAKE(th_bce_with_logits(forward(p, batch[0]), batch[1]));
      DEMO_TRY(th_backward(loss, 0));
      DEMO_TRY(th_optimizer_step(optimizer));
      th_optimizer_zero_grad(optimizer);
      DEMO_TRY(th_add_inplace(sum, th_detach(loss)));
    }
    th_scope_end(scope);
  } while (rows > 0);
  double mean = demo_item(sum) / (double)th_loader_batches(loader);
  th_release(sum);
  return mean;
}

static void train(th_array *const *p, const corpus *c, long epochs, uint64_t seed) {
  th_optimizer *optimizer = th_adam(p, PARAMS, &(th_adam_config){.lr = 0.01});
  th_loader *loader = th_loader_new(
      TH_ARRAYS(c->x, c->y), &(th_loader_options){.batch = 50, .shuffle = true, .seed = seed});
  if (!optimizer || !loader) demo_die("%s", th_last_error());
  for (long epoch = 1; epoch <= epochs; epoch++) {
    double loss = train_epoch(p, loader, optimizer);
    printf("epoch %2ld  loss %.4f  accuracy %.4f\n", epoch, loss, accuracy(p, c));
  }
  th_loader_release(loader);
  th_optimizer_release(optimizer);
}

/* Prints what the model thinks of a sentence, as a probability. */
static void say(th_array *const *p, vocabulary *v, const char *sentence) {
  int64_t ids[LENGTH];
  encode(v, sentence, true, ids);
  bool was = th_grad_mode(false);
  th_scope scope = th_scope_begin();
  th_array *x = th_from_host(ids, TH_SHAPE(1, LENGTH), TH_I64, device);
  printf("  %5.1f %%  %s\n", 100 * demo_item(DEMO_MAKE(th_sigmoid(forward(p, x)))), sentence);
  th_scope_end(scope);
  th_grad_mode(was);
}

int main(int argc, char **argv) {
  const char *sentence = "the end was not so bad and we saw the film again";
  long epochs = 4, seed = 1;
  const demo_option options[] = {
      {"epochs", "passes over the training sentences", .integer = &epochs},
      {"say", "a sentence to judge", .text = &sentence},
      {"seed", "of sentences and weights", .integer = &seed},
      DEMO_DEVICE(&device),
  };
  DEMO_OPTIONS(argc, argv, "A convolution over words tells praise from complaint.", options);
  if (epochs < 1) demo_die("--epochs must be at least 1");
  uint64_t state = (uint64_t)seed;
  corpus c = make_corpus(&state);
  th_generator *g = th_generator_new((uint64_t)seed);
  th_array *p[PARAMS];
  make_params(p, c.words.n, g);
  train(p, &c, epochs, (uint64_t)seed);
  printf("praise, by the model:\n");
  for (int i = 0; i < 4; i++) {
    char text[TEXT];
    make_sentence(text, &state);
    say(p, &c.words, text);
  }
  say(p, &c.words, sentence);
  double result = accuracy(p, &c);
  demo_check(result >= 0.95, "accuracy on other sentences %.4f (expected 0.95)", result);
  for (int i = 0; i < PARAMS; i++) th_release(p[i]);
  th_generator_release(g);
  th_array *all[] = {c.x, c.y, c.test_x, c.test_y};
  for (int i = 0; i < 4; i++) th_release(all[i]);
  return demo_finish();
}
