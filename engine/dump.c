/* Owns what people look at when something hangs: the dump of pending tasks, and the counters. Reads records that change
 * meanwhile; what is printed is a sample. */
#include "engine/parts.h"
#include "engine/trace.h"

#define SHOWN 32
#define CHAIN 16

static const char *phase_name(uint64_t word) {
  static const char *const names[] = {"free",   "entering", "pending", "running",
                                      "issued", "join",     "?",       "?"};
  return TH__WORD_READY(word) ? "ready" : names[TH__WORD_PHASE(word)];
}

/* What the body of a running task waits for; 0 when it does not. */
static th__ref waited_for(th__ref ref) {
  uint32_t number = th__load(&th__task_at(TH__REF_SLOT(ref))->owner, TH__RELAXED);
  th__thread *owner = th__load(&th__thread_numbers[number % TH__MAX_THREADS], TH__ACQUIRE);
  th__ref target = owner != NULL ? th__load(&owner->waiting_for, TH__SEQ_CST) : 0;
  return th__ref_finished(target) || th__ref_finished(ref) ? 0 : target;
}

/* The first unfinished predecessor; 0 when none. */
static th__ref predecessor(th__ref ref) {
  th__task *r = th__task_at(TH__REF_SLOT(ref));
  for (;;) {
    uint32_t n = th__load(&r->n_links, TH__ACQUIRE);
    for (uint32_t i = 0; i < n && i < TH__MORE_LINKS; i++) {
      th__ref pred = th__load(&r->preds[i], TH__ACQUIRE);
      if (th__ref_finished(ref)) return 0; /* what was read belongs to nobody */
      if (!th__ref_finished(pred)) return pred;
    }
    uint32_t extension = th__load(&r->extension, TH__ACQUIRE);
    if (extension == 0 || th__ref_finished(ref)) return 0;
    r = th__task_at((extension - 1) & (TH__SLOTS - 1));
  }
}

th__ref th__blocker(th__ref ref) {
  th__task *t = th__task_at(TH__REF_SLOT(ref));
  uint64_t word = th__load(&t->word, TH__ACQUIRE);
  if (TH__WORD_PHASE(word) != TH__RUNNING) return predecessor(ref);
  /* With its token open, or without memory, the body may have returned: then its thread waits for something else. */
  return word & (TH__TOKEN_OPEN | TH__STARVING) ? 0 : waited_for(ref);
}

th__ref th__pending_at(uint32_t slot, uint64_t *sequence) {
  th__task *t = th__task_at(slot);
  uint64_t word = th__load(&t->word, TH__ACQUIRE);
  *sequence = th__load(&t->sequence, TH__RELAXED);
  uint32_t phase = TH__WORD_PHASE(word);
  return phase == TH__FREE || phase == TH__ENTERING ? 0 : TH__REF(word >> 32, slot);
}

bool th__task_text(th__ref ref, char *out, size_t room) {
  th__task *t = th__task_at(TH__REF_SLOT(ref));
  uint64_t word = th__load(&t->word, TH__ACQUIRE);
  const char *name = th__task_kind(t)->name;
  if (TH__WORD_GENERATION(word) != TH__REF_GENERATION(ref)) return false;
  (void)snprintf(out, room, "#%llu %s: %s%s",
                 (unsigned long long)th__load(&t->sequence, TH__RELAXED), name, phase_name(word),
                 TH__WORD_PHASE(word) == TH__RUNNING && (word & TH__TOKEN_OPEN)
                     ? ", its token was not signalled"
                 : (word & TH__RAISED) ? ", waited for"
                                       : "");
  return true;
}

static void print_task(FILE *out, th__ref ref, const char *indent) {
  char text[256];
  if (th__task_text(ref, text, sizeof text)) fprintf(out, "%s%s\n", indent, text);
}

void th_engine_dump(FILE *out) {
  if (out == NULL || th__load(&th__the.phase, TH__ACQUIRE) != TH__PHASE_ON) {
    if (out != NULL) fprintf(out, "thrum: the engine is not running\n");
    return;
  }
  fprintf(out, "thrum: %lld pending, %u starving for memory\n", (long long)th__in_flight(),
          th__load(&th__the.starved, TH__RELAXED));
  th__ref oldest = 0;
  uint64_t oldest_sequence = UINT64_MAX;
  int shown = 0;
  for (uint32_t s = th__slots_from(0); s < th__slots_used(); s = th__slots_from(s + 1)) {
    uint64_t sequence;
    th__ref ref = th__pending_at(s, &sequence);
    if (ref == 0) continue;
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
    oldest = th__blocker(oldest);
  }
}

/* By the rate of the ticks since the engine started. */
static uint64_t ns_of(uint64_t ticks) {
  double passed = (double)(th__ticks() - th__the.begin_ticks);
  double ns = (double)(th__now_ns() - th__the.begin_ns);
  return passed > 0 ? (uint64_t)((double)ticks * (ns / passed)) : 0;
}

th_status th_engine_get_stats(th_engine_stats *out) {
  if (out == NULL || out->size != sizeof *out)
    return th__fail(TH_EINVAL, "engine_get_stats: size is not sizeof(th_engine_stats)");
  TH_TRY(th__engine_ensure());
  th_engine_stats s = {.size = sizeof s};
  uint64_t wait_ticks = 0;
  for (th__thread *t = th__load(&th__the.threads, TH__ACQUIRE); t != NULL; t = t->next) {
    s.failed += th__load(&t->failed, TH__RELAXED);
    s.host_waits += th__load(&t->host_waits, TH__RELAXED);
    wait_ticks += th__load(&t->host_wait_ticks, TH__RELAXED);
    s.skipped += th__load(&t->skipped, TH__RELAXED);
    s.steals += th__load(&t->steals, TH__RELAXED);
    s.wakes += th__load(&t->wakes, TH__RELAXED);
  }
  th__totals totals = th__totals_now();
  s.submitted = totals.submitted;
  s.completed = totals.completed;
  s.pending = totals.submitted - totals.completed;
  s.host_wait_ns = ns_of(wait_ticks);
  s.limit_waits = th__load(&th__the.limit_waits, TH__RELAXED);
  s.fallbacks = th__load(&th__the.fallbacks, TH__RELAXED);
  s.workers = th__workers_total();
  *out = s;
  return TH_OK;
}
