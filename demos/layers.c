/* A model is a list of layers: three linear ones and two activations in a row, printed with their weights, counted, and
 * applied to a batch. */
#include <math.h>

#include "common/demo.h"

enum { LAYERS = 5, WIDTH = 128, BATCH = 4 };

/* A linear layer has a weight (inputs, outputs) and a bias (outputs); an activation has neither. */
typedef struct layer {
  const char *name;
  int64_t inputs, outputs;
  th_array *weight, *bias;
} layer;

static layer linear(th_generator *g, int64_t inputs, int64_t outputs) {
  double bound = 1 / sqrt((double)inputs);
  return (layer){
      "linear", inputs, outputs,
      DEMO_MAKE(th_uniform(g, TH_SHAPE(inputs, outputs), -bound, bound, TH_F32, th_cpu(0))),
      DEMO_MAKE(th_zeros(TH_SHAPE(outputs), TH_F32, th_cpu(0)))};
}

static layer relu(void) { return (layer){.name = "relu"}; }

/* x through one layer; +1. */
static th_array *apply(const layer *l, const th_array *x) {
  return DEMO_MAKE(l->weight ? th_linear(x, l->weight, l->bias) : th_relu(x));
}

static int64_t print_layer(int index, const layer *l) {
  if (!l->weight) {
    printf("(%d) %s\n", index, l->name);
    return 0;
  }
  printf("(%d) %s %lld -> %lld, weight ", index, l->name, (long long)l->inputs,
         (long long)l->outputs);
  DEMO_TRY(th_print(l->weight, stdout)); /* waits for this layer's weights only */
  putchar('\n');
  return th_array_size(l->weight) + th_array_size(l->bias);
}

int main(int argc, char **argv) {
  demo_options(argc, argv, "Builds a model of five layers, prints it and applies it.", NULL, 0);
  th_generator *g = th_generator_new(1);
  layer model[LAYERS] = {linear(g, WIDTH, WIDTH), relu(), linear(g, WIDTH, WIDTH), relu(),
                         linear(g, WIDTH, 1)};
  int64_t parameters = 0;
  for (int i = 0; i < LAYERS; i++) parameters += print_layer(i, &model[i]);
  demo_check(parameters == 33153, "%lld parameters", (long long)parameters);

  th_array *x = DEMO_MAKE(th_normal(g, TH_SHAPE(BATCH, WIDTH), 0, 1, TH_F32, th_cpu(0)));
  for (int i = 0; i < LAYERS; i++) { /* all five are queued before the first has run */
    th_array *y = apply(&model[i], x);
    th_release(x);
    x = y;
  }
  DEMO_TRY(th_print(x, stdout));
  putchar('\n');
  demo_check(th_array_ndim(x) == 2 && th_array_shape(x)[0] == BATCH && th_array_shape(x)[1] == 1,
             "a batch of %d gives %d x 1", BATCH, BATCH);
  th_release(x);
  for (int i = 0; i < LAYERS; i++) {
    th_release(model[i].weight);
    th_release(model[i].bias);
  }
  th_generator_release(g);
  return demo_finish();
}
