/* Owns how one operation of a random program is carried out, and what of it is remembered for comparison. With several
 * submitters only what cannot depend on the others' timing is looked at: results of own arrays. */
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"
#include "stress/world.h"

/* An operation on arrays, with its operands resolved. */
typedef struct step {
  actor *a;
  const op *o;
  th_array *x, *y;
  sight seen;
  uint64_t count,
      last; /* tasks this thread had submitted when the operation was made, and the newest one's place */
} step;

static th_array **own(const step *s, int class_, int operand) {
  return &s->a->arrays[class_][operand];
}

/* The operation has been submitted; what is submitted from here on (the end of a storage) is another matter. */
static void submitted(step *s) { s->last = th__last_sequence(&s->count); }

/* Puts a maker's result (NULL: it was refused) in place of an own array. */
static void replace(step *s, int class_, th_array *result) {
  submitted(s);
  if (!result) {
    s->seen = look_at_status(th_last_status());
    return;
  }
  th_array **place = own(s, class_, s->o->target);
  th_release(*place);
  *place = result;
}

static void done(step *s, th_status status) {
  submitted(s);
  s->seen = look_at_status(status);
}

static void binary(step *s) {
  static th_array *(*const functions[])(const th_array *, const th_array *) = {
      th_add, th_subtract, th_multiply, th_maximum};
  th_array *result;
  if (s->o->scoped) {
    th_scope scope = th_scope_begin();
    result = th_keep(functions[s->o->f](s->x, s->y));
    th_scope_end(scope);
  } else {
    result = functions[s->o->f](s->x, s->y);
  }
  replace(s, s->o->class_, result);
}

/* x op= y on views; f decides whether y is one broadcast row. */
static void in_place(step *s) {
  static th_status (*const functions[])(th_array *, const th_array *) = {
      th_add_inplace, th_subtract_inplace, th_multiply_inplace, th_assign};
  bool row = s->o->other == 0 && s->x != s->y;
  th_array *x = th_slice(s->x, program_spec(s->o->spec));
  th_array *y =
      th_slice(s->y, row ? (s->o->spec == 3 ? "0:1, 1:5" : "2:3") : program_spec(s->o->spec));
  done(s, functions[s->o->kind == OP_ASSIGN ? 3 : s->o->f % 3](x, y));
  th_release(y);
  th_release(x);
}

static void scalar(step *s) {
  static th_status (*const functions[])(th_array *, double) = {
      th_add_scalar_inplace, th_subtract_scalar_inplace, th_multiply_scalar_inplace, th_fill};
  th_array *x = th_slice(s->x, program_spec(s->o->spec));
  bool fill = s->o->kind == OP_FILL;
  bool shrink = !fill && s->o->f == 3; /* keeps floats from growing for ever */
  done(s, shrink ? th_multiply_scalar_inplace(x, 0.125)
                 : functions[fill ? 3 : s->o->f](x, s->o->number));
  th_release(x);
}

static void send(step *s) {
  int class_ = s->o->other * 2 + s->o->class_ % 2;
  done(s, th_assign(*own(s, class_, s->o->x), s->y));
}

static void write_host(step *s) {
  int32_t data[64];
  for (int i = 0; i < 64; i++) data[i] = (int32_t)(s->o->id % 1000) - 3 * i;
  /* A GPU takes only what lies without gaps. */
  bool row = s->a->world->cuda && s->o->class_ >= 2;
  th_array *x = th_slice(s->x, row ? "1:2, :5" : "1:3, :5");
  done(s, th_write(x, data, (row ? 5 : 10) * sizeof *data));
  memset(data, 0xff, sizeof data); /* th_write() must not look at it any more */
  th_release(x);
}

static void reduce(step *s) {
  int axis = s->o->f % 2;
  th_array *sum = th_sum(s->x, &axis, 1, true);
  th_array *same = th_astype(sum, world_dtype(s->o->class_)); /* integers sum in i64 */
  replace(s, s->o->class_, th_add(s->y, same));
  th_release(same);
  th_release(sum);
}

static void uniform(step *s) {
  int64_t shape[2] = {s->a->world->rows, s->a->world->columns};
  int class_ = s->o->other * 2 + 1;
  replace(
      s, class_,
      th_uniform(s->a->generator, shape, 2, -2, 2, TH_F32, world_device(s->a->world, s->o->other)));
}

static void map_host(step *s) {
  bool writing = s->o->f == 0;
  void *writable = NULL;
  const void *data = NULL;
  th_status status = writing ? th_map_write(s->x, &writable) : th_map_read(s->x, &data);
  s->seen = look_at_status(status);
  if (status != TH_OK) return;
  if (writing) {
    int32_t *first = writable;
    first[0] = (int32_t)(s->o->id % 977);
  } else {
    s->seen.hash = (uint64_t)th_array_size(s->x); /* contents are compared by OP_READ */
  }
  if (th_unmap(s->x) != TH_OK)
    snprintf(s->a->error, sizeof s->a->error, "unmap: %s", th_last_error());
}

static void item(step *s) {
  th_array *one = th_slice(s->x, "1, 2");
  th_clear_error();
  double value = th_item(one);
  s->seen = look_at_status(th_last_status());
  if (value == value) memcpy(&s->seen.hash, &value, sizeof value);
  th_release(one);
}

static void wait_array(step *s) {
  th_status status = TH_OK;
  switch (s->o->f) {
  case 0: status = th_wait(s->x); break;
  case 1: status = th_wait_many(TH_ARRAYS(s->x, s->y)); break;
  case 2: status = th_wait_var_idle(th_array_var(s->x)); break;
  default: th_wait_for(s->x, s->o->spin * 100); break; /* may time out: not compared */
  }
  done(s, status);
}

static void poll(step *s) {
  bool ready = th_is_ready(s->x);
  ready = th_var_is_ready(s->a->world->cells[s->o->reads[0]].var) && ready;
  if (!ready && th_wait_for(s->x, 0) == TH_OK) th_clear_error();
}

static void wait_cell(step *s) {
  cell *c = &s->a->world->cells[s->o->reads[0]];
  if (s->a->world->submitters == 1) {
    s->seen = look_at_cell(c);
  } else {
    th_status status = th_wait_var(c->var); /* others may write on */
    (void)status;
  }
}

static void renew(step *s) {
  th_array **place = own(s, s->o->class_, s->o->target);
  int64_t shape[2] = {s->a->world->rows, s->a->world->columns};
  th_release(*place);
  *place = th_full(shape, 2, s->o->number, world_dtype(s->o->class_),
                   world_device(s->a->world, s->o->class_ / 2));
  if (!*place) snprintf(s->a->error, sizeof s->a->error, "renew: %s", th_last_error());
}

/* Operations whose operands must be own arrays when there are several submitters: they wait and look, or are made of more
 * than one task, so that no single place in the order describes them. On a GPU that is every operator without a kernel. */
static bool only_own(const world *w, op_kind kind) {
  if (w->cuda && kind != OP_RAW && kind != OP_ASYNC) return true;
  return kind == OP_MOVE || kind == OP_WRITE || kind == OP_REDUCE || kind == OP_READ ||
         kind == OP_MAP || kind == OP_ITEM || kind == OP_WAIT;
}

static void carry_out(step *s) {
  const op *o = s->o;
  switch (o->kind) {
  case OP_RAW:
  case OP_ASYNC: done(s, raw_submit(s->a, o)); break;
  case OP_BINARY: binary(s); break;
  case OP_INPLACE:
  case OP_ASSIGN: in_place(s); break;
  case OP_SCALAR:
  case OP_FILL: scalar(s); break;
  case OP_COPY: replace(s, o->class_, th_copy(s->x)); break;
  case OP_CAST: replace(s, o->class_ ^ 1, th_astype(s->x, world_dtype(o->class_ ^ 1))); break;
  case OP_MOVE:
    replace(s, o->other * 2 + o->class_ % 2, th_copy_to(s->x, world_device(s->a->world, o->other)));
    break;
  case OP_SEND: send(s); break;
  case OP_WRITE: write_host(s); break;
  case OP_REDUCE: reduce(s); break;
  case OP_UNIFORM: uniform(s); break;
  case OP_READ: s->seen = look_at_array(s->x); break;
  case OP_MAP: map_host(s); break;
  case OP_ITEM: item(s); break;
  case OP_WAIT: wait_array(s); break;
  case OP_WAIT_CELL: wait_cell(s); break;
  case OP_POLL: poll(s); break;
  case OP_WAIT_ALL: th_wait_all() == TH_OK ? (void)0 : th_clear_error(); break;
  case OP_RENEW: renew(s); break;
  case OP_KINDS: break;
  }
}

void actor_step(actor *a, int index, bool replay) {
  world *w = a->world;
  op o = program_op(w->seed, a->index, index, w->errors);
  if (w->submitters > 1 && only_own(w, o.kind)) {
    o.x = PROGRAM_SHARED + o.x % PROGRAM_PRIVATE;
    o.y = PROGRAM_SHARED + o.y % PROGRAM_PRIVATE;
  }
  if (w->submitters > 1 && o.kind == OP_SEND) o.y = PROGRAM_SHARED + o.y % PROGRAM_PRIVATE;
  step s = {.a = a, .o = &o, .x = a->arrays[o.class_][o.x], .y = a->arrays[o.class_][o.y]};
  uint64_t before;
  th__last_sequence(&before);
  s.count = before;
  carry_out(&s);
  a->sights[index] = s.seen;
  if (replay) return;
  if (s.count != before) a->sequence[index] = s.last;
  bool several = s.count > before + 1 && !only_own(w, o.kind) && o.kind != OP_SEND;
  if (w->submitters > 1 && several && !a->error[0]) {
    snprintf(a->error, sizeof a->error,
             "%s submitted %llu tasks, so its place in the order is not known",
             program_op_name(o.kind), (unsigned long long)(s.count - before));
  }
}
