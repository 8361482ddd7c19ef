/* Owns recording: the hooks behind every operator call, records and their life. A record's own lock guards what changes
 * after it was made; node_locks guard the step from an array to its node, so that an array can be used by several threads
 * while another replaces its node by an in-place operator. No two locks are ever held together. */
#include "autograd/tape.h"

#include <string.h>

#include "engine/base/error.h"
#include "engine/base/mem.h"

/* Copies made before an in-place call of inputs that its vjp wants with their old content. */
typedef struct before_copies {
  const th_op *op;
  int n;
  th_array *inputs[]; /* NULL where nothing was copied */
} before_copies;

static _Thread_local bool paused;            /* recording is off on this thread */
static _Thread_local before_copies *pending; /* between the two hooks of one call */
static _Thread_local th__record *to_free;    /* records whose last reference went */
static _Thread_local bool freeing;

enum { N_NODE_LOCKS = 64 };
static th__spin node_locks[N_NODE_LOCKS];

static th__spin *node_lock(const th_array *a) {
  return &node_locks[((uintptr_t)a >> 6) % N_NODE_LOCKS];
}

/* While a body runs on a thread that was doing something else, the thread records, and knows nothing of a call that the
 * submission below it interrupted. Both live in one word: blocks are aligned, the lowest bit is free. */
static void *put_aside(void) {
  void *saved = (void *)((uintptr_t)pending | paused);
  paused = false;
  pending = NULL;
  return saved;
}

static void put_back(void *saved) {
  paused = ((uintptr_t)saved & 1) != 0;
  pending = (before_copies *)((uintptr_t)saved & ~(uintptr_t)1);
}

/* Before the first change of what put_aside() keeps. */
static th_status watch_switches(void) {
  static _Atomic bool watching; /* relaxed: registering twice is fine */
  if (th__load(&watching, TH__RELAXED)) return TH_OK;
  TH_TRY(th__engine_on_switch(put_aside, put_back));
  th__store(&watching, true, TH__RELAXED);
  return TH_OK;
}

bool th__tape_recording(bool on) {
  (void)watch_switches(); /* fails only when more floors than we have register */
  bool old = !paused;
  paused = !on;
  return old;
}

/* --- records --- */

th__record *th__record_retain(th__record *r) {
  th__fetch_add(&r->refs, 1, TH__RELAXED);
  return r;
}

void th__record_strip(th__record *r, th__saved *saved) {
  for (int i = 0; i < r->n_in + r->n_out; i++) th_release(saved[i].array);
  for (int i = 0; i < r->n_in; i++) {
    if (r->parents[i] != NULL) th__record_release(r->parents[i]->record);
  }
  th__spin_lock(&r->lock);
  r->stripped = true;
  bool unused = r->users == 0;
  th__spin_unlock(&r->lock);
  if (unused && r->drop != NULL) r->drop(r->params);
}

void th__record_leave(th__record *r) {
  th__spin_lock(&r->lock);
  bool last = --r->users == 0 && r->stripped;
  th__spin_unlock(&r->lock);
  if (last && r->drop != NULL) r->drop(r->params);
}

static void destroy(th__record *r) {
  if (r->op != NULL && !r->freed) th__record_strip(r, r->saved);
  if (r->base != NULL) th__record_release(r->base->record);
  for (int j = 0; j < r->n_out; j++) th__kept_free(th__load(&r->nodes[j].kept, TH__RELAXED));
  th__free(r);
}

void th__record_release(th__record *r) {
  /* The decrement releases what this thread did with the record; the last one acquires all of it. */
  if (r == NULL || th__fetch_sub(&r->refs, 1, TH__ACQ_REL) != 1) return;
  r->next = to_free;
  to_free = r;
  if (freeing) return; /* the loop below, further up this stack, takes it */
  freeing = true;
  while (to_free != NULL) {
    r = to_free;
    to_free = r->next;
    destroy(r);
  }
  freeing = false;
}

/* --- arrays and nodes --- */

static bool is_recorded(const th_array *a) {
  /* Only asks whether there is one; whoever follows the pointer takes the lock. */
  return th__load(&a->node, TH__RELAXED) != NULL;
}

th__node *th__tape_node(const th_array *a) {
  if (!is_recorded(a)) return NULL;
  th__spin *lock = node_lock(a);
  th__spin_lock(lock);
  th__node *node = th__load(&a->node, TH__RELAXED);
  if (node != NULL) th__record_retain(node->record);
  th__spin_unlock(lock);
  return node;
}

/* A node without arrays can show its gradient to nobody. Dropping it here also cuts the cycle node -> gradient -> record
 * -> node that TH_CREATE_GRAPH makes. */
static void node_died(th__node *node) {
  th__kept *kept = th__load(&node->kept, TH__RELAXED);
  if (kept == NULL) return;
  th__spin_lock(&node->record->lock);
  th_array *gradient = kept->gradient;
  kept->gradient = NULL;
  kept->dead = true;
  th__spin_unlock(&node->record->lock);
  th_release(gradient);
}

static void detach(th__node *node) {
  th__record *r = node->record;
  if (r->base != NULL) th__fetch_sub(&r->base->views, 1, TH__RELAXED);
  bool last = th__fetch_sub(&node->handles, 1, TH__ACQ_REL) == 1;
  if (last) node_died(node);
  th__record_release(r);
}

void th__tape_attach(th_array *a, th__node *node) {
  if (node != NULL) {
    th__record_retain(node->record);
    th__fetch_add(&node->handles, 1, TH__RELAXED);
    if (node->record->base != NULL) th__fetch_add(&node->record->base->views, 1, TH__RELAXED);
  }
  th__spin *lock = node_lock(a);
  th__spin_lock(lock);
  th__node *old = th__exchange(&a->node, node, TH__ACQ_REL);
  th__spin_unlock(lock);
  if (old != NULL) detach(old);
}

th_array *th__tape_alias(const th_array *a) {
  th_scope scope = th__scope_suspend();
  th_array *alias = th__array_view(a, &a->layout);
  th__scope_resume(scope, NULL);
  return alias;
}

/* --- recording --- */

static size_t round16(size_t bytes) { return (bytes + 15) & ~(size_t)15; }

/* One block: the record with its nodes, then its tables. */
static th__record *new_record(const th_op *op, int n_in, int n_out) {
  size_t in = (size_t)n_in, out = (size_t)n_out;
  size_t nodes = round16(sizeof(th__record) + out * sizeof(th__node));
  size_t layouts = round16((in + out) * sizeof(th_layout));
  size_t parents = round16(in * sizeof(th__node *));
  size_t saved = round16((in + out) * sizeof(th__saved));
  char *block = th__zalloc(nodes + layouts + parents + saved + (op != NULL ? op->params_size : 0));
  if (block == NULL) return NULL;
  th__record *r = (th__record *)block;
  r->op = op;
  th__store(&r->refs, 1, TH__RELAXED);
  r->n_in = n_in;
  r->n_out = n_out;
  r->in = (th_layout *)(block + nodes);
  r->out = r->in + n_in;
  r->parents = (th__node **)(block + nodes + layouts);
  r->saved = (th__saved *)(block + nodes + layouts + parents);
  r->params = block + nodes + layouts + parents + saved;
  for (int i = 0; i < n_out; i++) r->nodes[i] = (th__node){.record = r, .index = i};
  return r;
}

static void drop_pending(void) {
  if (pending == NULL) return;
  for (int i = 0; i < pending->n; i++) th_release(pending->inputs[i]);
  th__free(pending);
  pending = NULL;
}

static bool any_recorded(const th_array *const *in, int n_in) {
  for (int i = 0; i < n_in; i++) {
    if (is_recorded(in[i])) return true;
  }
  return false;
}

static bool is_floating(const th_array *a) { return th__dtype_in(a->layout.dtype, TH_FLOATS); }

/* Refuses writes after which the history of some array would no longer tell how its content came about. */
static th_status check_target(const th_op *op, const th_array *a, int argument) {
  th__node *node = th__tape_node(a);
  th_status status = TH_OK;
  if (node == NULL) {
    if (a->storage != NULL && th__load(&a->storage->refs, TH__RELAXED) > 1) {
      status = th__fail(
          TH_EINVAL,
          "%s: argument %d shares its storage with other arrays, which would not learn of the "
          "recorded write; release them, use the out-of-place form, or th_grad_mode(false)",
          op->name, argument);
    }
  } else if (node->record->leaf != NULL) {
    status = th__fail(TH_EINVAL,
                      "%s: argument %d is a leaf that requires a gradient and cannot be written "
                      "while recording; use th_grad_mode(false) around the call or th_detach()",
                      op->name, argument);
  } else if (node->record->base != NULL) {
    status = th__fail(TH_EINVAL,
                      "%s: argument %d is a view of a recorded array and cannot be written while "
                      "recording; write the base, use the out-of-place form, th_grad_mode(false) "
                      "or th_detach()",
                      op->name, argument);
  } else if (th__load(&node->views, TH__RELAXED) > 0) {
    status = th__fail(TH_EINVAL,
                      "%s: argument %d has recorded views and cannot be written while recording; "
                      "release the views, use the out-of-place form, th_grad_mode(false) or "
                      "th_detach()",
                      op->name, argument);
  }
  if (node != NULL) th__record_release(node->record);
  return status;
}

/* The last of the 16 bits stands for all operands from there on. */
static int saved_bit(int i) { return i < 15 ? i : 15; }

/* True when the vjp wants input i as it was before the call writes its storage. */
static bool wants_old(const th_op *op, const th_array *const *in, int n_in, const uint8_t *written,
                      int i) {
  if ((op->saves & TH_SAVE_IN(saved_bit(i))) == 0) return false;
  for (int j = 0; j < n_in; j++) {
    if (written[j] && th_array_shares(in[i], in[j])) return true;
  }
  return false;
}

static th_status copy_old(const th_op *op, const th_array *const *in, int n_in,
                          const uint8_t *written) {
  pending = th__zalloc(sizeof(before_copies) + (size_t)n_in * sizeof(th_array *));
  if (pending == NULL) return TH_ENOMEM;
  pending->op = op;
  pending->n = n_in;
  th_status status = TH_OK;
  th_scope scope = th__scope_suspend();
  bool recording = th__tape_recording(false);
  for (int i = 0; i < n_in && status == TH_OK; i++) {
    if (!wants_old(op, in, n_in, written, i)) continue;
    pending->inputs[i] = th_copy(in[i]);
    if (pending->inputs[i] == NULL) status = th_last_status();
  }
  th__tape_recording(recording);
  th__scope_resume(scope, NULL);
  if (status != TH_OK) drop_pending();
  return status;
}

/* The interceptor's first half: before the call changes anything. */
static th_status before_call(const th_op *op, const th_array *const *in, int n_in,
                             const uint8_t *written) {
  if (paused) return TH_OK;
  drop_pending(); /* of a call that failed between the hooks */
  bool writes = false, old = false;
  for (int i = 0; i < n_in; i++) writes |= written != NULL && written[i] != 0;
  if (!writes || !any_recorded(in, n_in)) return TH_OK;
  for (int i = 0; i < n_in; i++) {
    if (written[i] && is_floating(in[i])) TH_TRY(check_target(op, in[i], i));
    old |= wants_old(op, in, n_in, written, i);
  }
  return old && op->vjp != NULL ? copy_old(op, in, n_in, written) : TH_OK;
}

/* Result j of a call: an output, or a written input. */
static const th_array *result_at(const th_array *const *in, int n_in, th_array *const *out,
                                 int n_out, const uint8_t *written, int j) {
  if (j < n_out) return out[j];
  j -= n_out;
  for (int i = 0; i < n_in; i++) {
    if (written != NULL && written[i] && j-- == 0) return in[i];
  }
  return NULL;
}

static th_status save(th__saved *slot, const th_array *a) {
  slot->array = th__tape_alias(a);
  slot->version = th_array_version(a);
  return slot->array != NULL ? TH_OK : th_last_status();
}

static th_status save_arrays(th__record *r, uint32_t saves, const th_array *const *in,
                             const th_array *const *results) {
  if (r->op->vjp == NULL) return TH_OK;
  for (int i = 0; i < r->n_in; i++) {
    if ((saves & TH_SAVE_IN(saved_bit(i))) == 0) continue;
    th_array *copy = pending != NULL && pending->op == r->op ? pending->inputs[i] : NULL;
    TH_TRY(save(&r->saved[i], copy != NULL ? copy : in[i]));
  }
  for (int j = 0; j < r->n_out; j++) {
    if (saves & TH_SAVE_OUT(saved_bit(j))) TH_TRY(save(&r->saved[r->n_in + j], results[j]));
  }
  return TH_OK;
}

/* A view of a recorded array shows the storage of the array at the root of its chain of views. */
static void find_base(th__record *r, const th_array *in, const th_array *out) {
  if ((r->op->flags & TH_OP_VIEW) == 0 || r->parents[0] == NULL || !th_array_shares(in, out)) {
    return;
  }
  th__node *parent = r->parents[0];
  r->base = parent->record->base != NULL ? parent->record->base : parent;
  th__record_retain(r->base->record);
}

bool th__tape_records(const th_array *const *in, int n_in) {
  return !paused && any_recorded(in, n_in);
}

th_status th__tape_record(const th_op *op, const void *params, void (*drop)(void *params),
                          uint32_t saves, const th_array *const *in, int n_in,
                          const th_array *const *results, int n_results) {
  th__record *r = new_record(op, n_in, n_results);
  if (r == NULL) return TH_ENOMEM;
  if (op->params_size > 0 && params != NULL) memcpy(r->params, params, op->params_size);
  for (int i = 0; i < n_in; i++) {
    r->in[i] = in[i]->layout;
    r->parents[i] = is_floating(in[i]) ? th__tape_node(in[i]) : NULL;
  }
  for (int j = 0; j < n_results; j++) r->out[j] = results[j]->layout;
  th_status status = save_arrays(r, saves, in, results);
  if (status == TH_OK && n_in > 0) find_base(r, in[0], results[0]);
  for (int j = 0; j < n_results && status == TH_OK; j++) {
    if (is_floating(results[j])) th__tape_attach((th_array *)results[j], &r->nodes[j]);
  }
  if (status == TH_OK) r->drop = drop;
  th__record_release(r);
  return status;
}

/* The interceptor's second half: after the task was submitted. */
static th_status after_call(const th_op *op, const void *params, const th_array *const *in,
                            int n_in, th_array *const *out, int n_out, const uint8_t *written) {
  enum { FEW = 8 };
  if (paused || !any_recorded(in, n_in)) return TH_OK;
  const th_array *few[FEW], **results = few;
  int n = n_out;
  bool floating = false;
  for (int i = 0; i < n_in; i++) n += written != NULL && written[i] != 0;
  if (n > FEW && (results = th__alloc((size_t)n * sizeof(*results))) == NULL) return TH_ENOMEM;
  for (int j = 0; j < n; j++) {
    results[j] = result_at(in, n_in, out, n_out, written, j);
    floating |= is_floating(results[j]);
  }
  th_status status = TH_OK;
  if (op->flags & TH_OP_FLAT) {
    for (int j = n_out; j < n; j++) th__tape_attach((th_array *)results[j], NULL);
  } else if (floating) {
    status = th__tape_record(op, params, NULL, op->saves, in, n_in, results, n);
  }
  if (results != few) th__free(results);
  drop_pending();
  return status;
}

/* --- leaves and switches --- */

static const th__interceptor tape = {before_call, after_call};

static void node_free(th__node *node) { detach(node); }

static void install(void) {
  static th__spin lock;
  static bool installed; /* under lock; what it guards is published with the first node */
  th__spin_lock(&lock);
  if (!installed) {
    th__array_node_free = node_free;
    th__interceptor_set_default(&tape);
    installed = true;
  }
  th__spin_unlock(&lock);
}

th_status th_require_grad(th_array *a) {
  if (a == NULL) {
    return th_last_status() != TH_OK ? TH_EINVAL
                                     : th__fail(TH_EINVAL, "require_grad: the array is NULL");
  }
  if (!is_floating(a)) {
    return th__fail(TH_EDTYPE, "require_grad: the array is %s, only floating types have gradients",
                    th_dtype_name(a->layout.dtype));
  }
  th__node *node = th__tape_node(a);
  if (node != NULL) {
    bool leaf = node->record->leaf != NULL;
    th__record_release(node->record);
    if (leaf) return TH_OK;
    return th__fail(TH_EINVAL, "require_grad: the array was computed from arrays that require "
                               "gradients; only leaves can be marked, see th_detach()");
  }
  TH_TRY(watch_switches());
  install();
  th__record *r = new_record(NULL, 0, 1);
  if (r == NULL) return TH_ENOMEM;
  r->out[0] = a->layout;
  r->leaf = th__kept_make(&r->nodes[0]);
  if (r->leaf != NULL) {
    r->leaf->stored = true;
  } else {
    th__record_release(r);
    return TH_ENOMEM;
  }
  th__tape_attach(a, &r->nodes[0]);
  th__record_release(r);
  return TH_OK;
}

bool th_requires_grad(const th_array *a) { return a != NULL && is_recorded(a); }

bool th_grad_mode(bool on) { return th__tape_recording(on); }

th__record *th__tape_leaf(const th_array *a) {
  th__node *node = a != NULL ? th__tape_node(a) : NULL;
  if (node == NULL) return NULL;
  if (node->record->leaf != NULL) return node->record;
  th__record_release(node->record);
  return NULL;
}

th_array *th_detach(th_array *a) {
  if (a == NULL) {
    return th_last_status() != TH_OK ? NULL : th__fail_null(TH_EINVAL, "detach: the array is NULL");
  }
  return th__array_view(a, &a->layout);
}
