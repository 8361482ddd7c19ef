/* Owns what people look at when something hangs: the dump of pending tasks, and the counters. Reads records that change
 * meanwhile; what is printed is a sample. */
#include "engine/parts.h"

#define SHOWN 32
#define CHAIN 16

static const char *phase_name(uint64_t word) {
  static const char *const names[] = {"free", "pending", "ready", "running", "issued", "join"};
  return (word & 0xff) <= TH__JOIN ? names[word & 0xff] : "?";
}

/* The first unfinished predecessor; 0 when none. */
static th__ref blocker(th__ref ref) {
  th__task *r = th__task_at(TH__REF_SLOT(ref));
  for (;;) {
    uint32_t n = th__load(&r->n_links, TH__ACQUIRE);
    for (uint32_t i = 0; i < n && i < TH__LINKS; i++) {
      th__ref pred = th__load(&r->preds[i], TH__RELAXED);
      if (!th__ref_finished(pred)) return th__ref_finished(ref) ? 0 : pred;
    }
    uint32_t extension = th__load(&r->extension, TH__RELAXED);
    if (extension == 0 || th__ref_finished(ref)) return 0;
    r = th__task_at(extension - 1);
  }
}

static void print_task(FILE *out, th__ref ref, const char *indent) {
  th__task *t = th__task_at(TH__REF_SLOT(ref));
  uint64_t word = th__load(&t->claim, TH__ACQUIRE);
  const char *name = th__load(&t->name, TH__RELAXED);
  if (word >> 32 != TH__REF_GENERATION(ref)) return;
  fprintf(out, "%s#%llu %s: %s%s\n", indent,
          (unsigned long long)th__load(&t->sequence, TH__RELAXED), name, phase_name(word),
          (word & 0xff) == TH__RUNNING && (word & TH__TOKEN_OPEN) ? ", its token was not signalled"
          : (word & TH__RAISED)                                   ? ", waited for"
                                                                  : "");
}

void th_engine_dump(FILE *out) {
  if (out == NULL || th__load(&th__the.phase, TH__ACQUIRE) != TH__PHASE_ON) {
    if (out != NULL) fprintf(out, "thrum: the engine is not running\n");
    return;
  }
  fprintf(out, "thrum: %lld pending, %u starving for memory, %u threads active\n",
          (long long)th__in_flight(), th__load(&th__the.starved, TH__RELAXED),
          th__load(&th__the.active, TH__RELAXED));
  th__ref oldest = 0;
  uint64_t oldest_sequence = UINT64_MAX;
  int shown = 0;
  for (uint32_t s = 0; s < th__slots_used(); s++) {
    th__task *t = th__task_at(s);
    uint64_t word = th__load(&t->claim, TH__ACQUIRE);
    if ((word & 0xff) == TH__FREE) continue;
    th__ref ref = TH__REF(word >> 32, s);
    uint64_t sequence = th__load(&t->sequence, TH__RELAXED);
    if (sequence < oldest_sequence) {
      oldest_sequence = sequence;
      oldest = ref;
    }
    if (shown++ < SHOWN) print_task(out, ref, "  ");
  }
  if (shown > SHOWN) fprintf(out, "  and %d more\n", shown - SHOWN);
  if (oldest == 0) return;
  fprintf(out, "oldest, and what blocks it:\n");
  for (int i = 0; i < CHAIN && oldest != 0; i++) {
    print_task(out, oldest, "  ");
    oldest = blocker(oldest);
  }
}

th_status th_engine_get_stats(th_engine_stats *out) {
  if (out == NULL || out->size != sizeof *out)
    return th__fail(TH_EINVAL, "engine_get_stats: size is not sizeof(th_engine_stats)");
  TH_TRY(th__engine_ensure());
  th_engine_stats s = {.size = sizeof s};
  for (th__thread *t = th__load(&th__the.threads, TH__ACQUIRE); t != NULL; t = t->next) {
    s.completed += th__load(&t->completed, TH__ACQUIRE);
    s.failed += th__load(&t->failed, TH__RELAXED);
    s.skipped += th__load(&t->skipped, TH__RELAXED);
    s.steals += th__load(&t->steals, TH__RELAXED);
    s.wakes += th__load(&t->wakes, TH__RELAXED);
  }
  for (th__thread *t = th__load(&th__the.threads, TH__ACQUIRE); t != NULL; t = t->next)
    s.submitted += th__load(&t->submitted, TH__ACQUIRE);
  s.pending = s.submitted - s.completed;
  s.host_waits = th__load(&th__the.host_waits, TH__RELAXED);
  s.host_wait_ns = th__load(&th__the.host_wait_ns, TH__RELAXED);
  s.limit_waits = th__load(&th__the.limit_waits, TH__RELAXED);
  s.fallbacks = th__load(&th__the.fallbacks, TH__RELAXED);
  s.workers = th__workers_total();
  *out = s;
  return TH_OK;
}
