/* Owns walking a data set in batches. A batch is submitted as ordinary operators that gather rows; prefetching means no
 * more than submitting batches before they are asked for. A loader is used by one thread at a time and has no lock. */
#include <string.h>

#include "data/data.h"
#include "engine/base/error.h"
#include "engine/base/mem.h"
#include "thrum/ops.h"

enum { MAX_COLUMNS = 8, MOST_PREFETCH = 1024 };

typedef struct gathered {
  th_array *columns[MAX_COLUMNS]; /* +1 each */
  int64_t rows;
} gathered;

struct th_loader {
  th_array *columns[MAX_COLUMNS]; /* +1 each */
  int n_columns;
  int64_t n; /* rows of the data set */
  th_loader_options options;
  int64_t at_epoch, at_batch; /* of the next batch to give out */
  int64_t epoch;              /* of the next batch to submit */
  int64_t next;               /* its first row, in this epoch's order */
  th_array *order;            /* this epoch's permutation; NULL at its start and without shuffle */
  gathered *ring;             /* submitted, not yet given out */
  int depth;                  /* slots of the ring */
  int first, ahead;           /* oldest batch in the ring, how many there are */
};

static th_status check_columns(th_array *const *columns, int n) {
  if (columns == NULL || n < 1 || n > MAX_COLUMNS) {
    return th__fail(TH_EINVAL, "loader_new: %d columns, not 1 to %d", n, MAX_COLUMNS);
  }
  for (int i = 0; i < n; i++) {
    if (columns[i] == NULL) {
      return th_last_status() != TH_OK ? TH_EINVAL
                                       : th__fail(TH_EINVAL, "loader_new: column %d is NULL", i);
    }
    if (th_array_ndim(columns[i]) < 1) {
      return th__fail(TH_ESHAPE, "loader_new: column %d is 0-d, it has no rows", i);
    }
    int64_t rows = th_array_shape(columns[i])[0], first = th_array_shape(columns[0])[0];
    if (rows != first) {
      return th__fail(TH_ESHAPE, "loader_new: column %d has %lld rows, column 0 has %lld", i,
                      (long long)rows, (long long)first);
    }
    if (!th_device_equal(th_array_device(columns[i]), th_array_device(columns[0]))) {
      char a[32], b[32];
      return th__fail(TH_EDEVICE, "loader_new: column %d is on %s, column 0 on %s", i,
                      th_device_name(th_array_device(columns[i]), a, sizeof(a)),
                      th_device_name(th_array_device(columns[0]), b, sizeof(b)));
    }
  }
  return TH_OK;
}

static th_status check_options(th_loader_options *o) {
  if (o->batch < 0) {
    return th__fail(TH_EINVAL, "loader_new: batch %lld is negative", (long long)o->batch);
  }
  if (o->prefetch < TH_NO_PREFETCH || o->prefetch > MOST_PREFETCH) {
    return th__fail(TH_EINVAL, "loader_new: prefetch %d is not TH_NO_PREFETCH or 0 to %d",
                    o->prefetch, MOST_PREFETCH);
  }
  if (o->batch == 0) o->batch = 32;
  if (o->prefetch == 0) o->prefetch = 2;
  if (o->prefetch == TH_NO_PREFETCH) o->prefetch = 0;
  return TH_OK;
}

th_loader *th_loader_new(th_array *const *columns, int n, const th_loader_options *options) {
  th_loader_options settings = options != NULL ? *options : (th_loader_options){0};
  if (check_columns(columns, n) != TH_OK || check_options(&settings) != TH_OK) return NULL;
  th_loader *l = th__zalloc(sizeof(*l));
  if (l == NULL) return NULL;
  l->options = settings;
  l->depth = settings.prefetch + 1;
  l->ring = th__zalloc((size_t)l->depth * sizeof(*l->ring));
  if (l->ring == NULL) {
    th__free(l);
    return NULL;
  }
  for (; l->n_columns < n; l->n_columns++)
    l->columns[l->n_columns] = th_retain(columns[l->n_columns]);
  l->n = th_array_shape(columns[0])[0];
  if (!settings.repeat || th_loader_batches(l) > 0) return l;
  th_loader_release(l);
  return th__fail_null(TH_EINVAL, "loader_new: no batch to repeat");
}

int64_t th_loader_batches(const th_loader *l) {
  if (l == NULL) return 0;
  int64_t full = l->n / l->options.batch, rest = l->n % l->options.batch;
  return full + (rest > 0 && !l->options.drop_last ? 1 : 0);
}

static void release_columns(gathered *b) {
  for (int i = 0; i < MAX_COLUMNS; i++) th_release(b->columns[i]);
  memset(b, 0, sizeof(*b));
}

static void begin_epoch(th_loader *l, int64_t epoch) {
  th_release(l->order);
  l->order = NULL;
  l->next = 0;
  l->epoch = epoch;
}

/* The permutation of this epoch: depends on the seed and the epoch's number only. */
static th_status make_order(th_loader *l) {
  if (!l->options.shuffle || l->order != NULL) return TH_OK;
  th__mixer m = th__mixer_start(l->options.seed, (uint64_t)l->epoch);
  th_generator *g = th_generator_new(m.state);
  if (g != NULL) l->order = th_permutation(g, l->n, th_array_device(l->columns[0]));
  th_generator_release(g);
  return l->order != NULL ? TH_OK : th_last_status();
}

static th_array *gather(const th_loader *l, th_array *column, const char *rows) {
  th_array *part = th_slice(l->order != NULL ? l->order : column, rows);
  th_array *copy = l->order != NULL ? th_take(column, part, 0) : th_copy(part);
  th_release(part);
  return copy;
}

/* The program's change of a batch, with a generator that depends on seed, epoch and number of the batch only. */
static th_status transform(const th_loader *l, gathered *b) {
  if (l->options.transform == NULL) return TH_OK;
  th__mixer epoch = th__mixer_start(l->options.seed, (uint64_t)l->epoch);
  th__mixer m = th__mixer_start(epoch.state, (uint64_t)(l->next / l->options.batch) + 1);
  th_generator *g = th_generator_new(m.state);
  if (g == NULL) return TH_ENOMEM;
  th_status status = l->options.transform(b->columns, l->n_columns, g, l->options.transform_user);
  th_generator_release(g);
  for (int i = 0; i < l->n_columns && status == TH_OK; i++)
    if (b->columns[i] == NULL) status = th__array_null("loader_next: transform");
  return status;
}

/* Submits the next batch of the epoch into *out. */
static th_status submit(th_loader *l, gathered *out) {
  TH_TRY(make_order(l));
  int64_t left = l->n - l->next;
  int64_t rows = left < l->options.batch ? left : l->options.batch;
  char spec[64];
  snprintf(spec, sizeof(spec), "%lld:%lld", (long long)l->next, (long long)(l->next + rows));
  for (int i = 0; i < l->n_columns; i++) {
    out->columns[i] = gather(l, l->columns[i], spec);
    if (out->columns[i] == NULL) {
      release_columns(out);
      return th_last_status();
    }
  }
  th_status status = transform(l, out);
  if (status != TH_OK) {
    release_columns(out);
    return status;
  }
  out->rows = rows;
  l->next += rows;
  return TH_OK;
}

static bool epoch_has_more(const th_loader *l) {
  int64_t left = l->n - l->next;
  return left >= l->options.batch || (left > 0 && !l->options.drop_last);
}

/* Keeps the ring full. A failure counts only when nothing is left to give out; it will come again. */
static th_status fill(th_loader *l) {
  th_status status = TH_OK;
  th_scope scope = th__scope_suspend();
  while (l->ahead < l->depth && status == TH_OK) {
    if (!epoch_has_more(l)) {
      if (!l->options.repeat) break;
      begin_epoch(l, l->epoch + 1);
    }
    status = submit(l, &l->ring[(l->first + l->ahead) % l->depth]);
    if (status == TH_OK) l->ahead++;
  }
  th__scope_resume(scope, NULL);
  return l->ahead > 0 ? TH_OK : status;
}

int64_t th_loader_next(th_loader *l, th_array **out) {
  if (l == NULL || out == NULL) {
    return th__fail(TH_EINVAL, "loader_next: the %s is NULL", l == NULL ? "loader" : "batch");
  }
  TH_TRY(fill(l));
  if (l->ahead == 0) {
    begin_epoch(l, ++l->at_epoch);
    l->at_batch = 0;
    return 0;
  }
  gathered *b = &l->ring[l->first];
  int64_t rows = b->rows;
  for (int i = 0; i < l->n_columns; i++) out[i] = th__hand_out(b->columns[i]);
  memset(b, 0, sizeof(*b));
  l->first = (l->first + 1) % l->depth;
  l->ahead--;
  l->at_batch++;
  if (l->options.repeat && l->at_batch == th_loader_batches(l)) {
    l->at_batch = 0;
    l->at_epoch++;
  }
  return rows;
}

th_status th_loader_state(const th_loader *l, int64_t *epoch, int64_t *batch) {
  if (l == NULL) return th__fail(TH_EINVAL, "loader_state: the loader is NULL");
  if (epoch != NULL) *epoch = l->at_epoch;
  if (batch != NULL) *batch = l->at_batch;
  return TH_OK;
}

th_status th_loader_seek(th_loader *l, int64_t epoch, int64_t batch) {
  if (l == NULL) return th__fail(TH_EINVAL, "loader_seek: the loader is NULL");
  int64_t batches = th_loader_batches(l);
  if (epoch < 0 || batch < 0 || batch > batches) {
    return th__fail(TH_EINVAL, "loader_seek: epoch %lld, batch %lld of %lld", (long long)epoch,
                    (long long)batch, (long long)batches);
  }
  if (l->options.repeat && batch == batches) {
    epoch++;
    batch = 0;
  }
  for (int i = 0; i < l->depth; i++) release_columns(&l->ring[i]);
  l->ahead = 0;
  begin_epoch(l, epoch);
  l->next = batch < batches ? batch * l->options.batch : l->n;
  l->at_epoch = epoch;
  l->at_batch = batch;
  return TH_OK;
}

void th_loader_release(th_loader *l) {
  if (l == NULL) return;
  for (int i = 0; i < l->depth; i++) release_columns(&l->ring[i]);
  for (int i = 0; i < l->n_columns; i++) th_release(l->columns[i]);
  th_release(l->order);
  th__free(l->ring);
  th__free(l);
}
