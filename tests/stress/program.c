/* Owns the decoding of random programs. */
#include "stress/program.h"

typedef struct draw {
  uint64_t state;
} draw;

static uint32_t below(draw *d, uint32_t n) {
  d->state += UINT64_C(0x9e3779b97f4a7c15);
  return (uint32_t)((program_mix(d->state) >> 32) * n >> 32);
}

static bool chance(draw *d, uint32_t per_thousand) { return below(d, 1000) < per_thousand; }

/* Weights of the kinds. ORDER op_kind */
static const uint16_t weights[OP_KINDS] = {300, 20, 110, 90, 50, 40, 60, 40, 25, 20, 20,
                                           20,  25, 20,  25, 10, 10, 30, 20, 15, 3,  15};

static op_kind draw_kind(draw *d) {
  uint32_t total = 0;
  for (int i = 0; i < OP_KINDS; i++) total += weights[i];
  uint32_t at = below(d, total);
  int kind = 0;
  while (at >= weights[kind]) at -= weights[kind++];
  return (op_kind)kind;
}

static void draw_cells(draw *d, op *o) {
  o->n_reads = (uint8_t)below(d, PROGRAM_READS + 1);
  o->n_writes = (uint8_t)(1 + below(d, PROGRAM_WRITES));
  if (chance(d, 100)) o->n_writes = 0;
  if (chance(d, 200)) o->n_reads = 0; /* overwrites: these cure poisoned cells */
  for (int i = 0; i < o->n_reads; i++) o->reads[i] = (uint8_t)below(d, PROGRAM_CELLS);
  for (int i = 0; i < o->n_writes; i++) o->writes[i] = (uint8_t)below(d, PROGRAM_CELLS);
  /* Sometimes in place. */
  if (o->n_reads > 0 && o->n_writes > 0 && chance(d, 400)) o->reads[0] = o->writes[0];
}

op program_op(uint64_t seed, int submitter, int index, int errors) {
  draw d = {program_mix(seed * 64 + (uint64_t)submitter) ^ program_mix((uint64_t)index + 77)};
  op o = {.id = (uint64_t)submitter << 32 | (uint32_t)index};
  o.kind = draw_kind(&d);
  draw_cells(&d, &o);
  o.class_ = (uint8_t)below(&d, PROGRAM_CLASSES);
  o.x = (uint8_t)below(&d, PROGRAM_OPERANDS);
  o.y = (uint8_t)below(&d, PROGRAM_OPERANDS);
  o.target = (uint8_t)(PROGRAM_SHARED + below(&d, PROGRAM_PRIVATE));
  o.other = (uint8_t)below(&d, PROGRAM_DEVICES);
  o.spec = (uint8_t)below(&d, PROGRAM_SPECS);
  o.f = (uint8_t)below(&d, 4);
  o.number = (double)below(&d, 200) / 8 - 12;
  o.reads_array = chance(&d, 250);
  o.writes_array = chance(&d, 200);
  o.fails = errors > 0 && chance(&d, (uint32_t)errors);
  o.cancels = errors > 0 && chance(&d, 100);
  o.always = chance(&d, 20);
  o.tries = chance(&d, 50);
  o.scoped = chance(&d, 100);
  o.long_arg = chance(&d, 100);
  o.device = (uint8_t)below(&d, PROGRAM_DEVICES);
  o.spin = (uint8_t)(chance(&d, 50) ? below(&d, 200) : 0);
  o.priority = (int8_t)(chance(&d, 200) ? (int)below(&d, 4) - 1 : 0);
  return o;
}

const char *program_op_name(op_kind kind) {
  static const char *const names[OP_KINDS] = {
      /* ORDER op_kind */
      "raw",  "async", "binary",    "inplace", "scalar",   "fill",    "assign", "copy",
      "cast", "move",  "send",      "write",   "reduce",   "uniform", "read",   "map",
      "item", "wait",  "wait_cell", "poll",    "wait_all", "renew"};
  return names[kind];
}

const char *program_spec(int spec) {
  static const char *const specs[PROGRAM_SPECS] = {"...",      "1:3",     "::-1",
                                                   "::2, 1:5", ":, ::-1", "0:1"};
  return specs[spec];
}
