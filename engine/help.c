/* Owns helping: a waiting thread runs unfinished ancestors of what it waits for, found along the back edges, and nothing else.
 * Back edges are read while records may be recycled, so every step checks the generation after reading. */
#include <string.h>

#include "engine/parts.h"

#define STUCK_LIMIT 4096 /* dead ends before the search gives up: bounds the work on meshes */
#define SMALL       64
#define WATCH_NS    50000 /* for a loop of a running ancestor */

typedef struct step {
  th__ref ref;
  uint32_t record; /* slot + 1 of the record whose back edges come next; 0 = none left */
  uint32_t edge;
} step;

typedef struct path {
  step *steps;
  uint32_t depth, capacity;
  bool watched; /* a running ancestor, without a loop to be found */
  step small[SMALL];
} path;

static bool path_push(path *p, th__ref ref) {
  if (p->depth == p->capacity) {
    bool was_small = p->steps == p->small;
    step *bigger =
        th__resize(was_small ? NULL : p->steps, (size_t)p->capacity * 2 * sizeof *bigger);
    if (bigger == NULL) return false;
    if (was_small) memcpy(bigger, p->small, sizeof p->small);
    p->steps = bigger;
    p->capacity *= 2;
  }
  p->steps[p->depth++] = (step){ref, TH__REF_SLOT(ref) + 1, 0};
  return true;
}

/* The next unfinished predecessor of a step; 0 when none is left. */
static th__ref next_edge(step *s) {
  while (s->record != 0) {
    th__task *r = th__task_at((s->record - 1) & (TH__SLOTS - 1));
    uint32_t n = th__load(&r->n_links, TH__ACQUIRE);
    th__ref pred =
        s->edge < n && s->edge < TH__MORE_LINKS ? th__load(&r->preds[s->edge], TH__ACQUIRE) : 0;
    uint32_t extension = th__load(&r->extension, TH__ACQUIRE);
    if (th__ref_finished(s->ref)) return 0; /* what was read belongs to nobody */
    if (pred == 0) {
      s->record = extension;
      s->edge = 0;
      continue;
    }
    s->edge++;
    if (!th__ref_finished(pred)) return pred;
  }
  return 0;
}

static bool on_own_stack(const th__thread *self, th__ref ref) {
  for (const th__frame *f = self->frame; f != NULL; f = f->outer)
    if (f->task == ref) return true;
  return false;
}

typedef enum { DESCEND, RETRY, DEAD_END, DEADLOCK } verdict;

/* Runs blocks of the loops of a task that runs on owner's thread, as long as there are any and for a moment before and between; only
 * looks when none came the last time. Blocks neither wait nor submit, so they need no thread state of their own. False
 * when none came. */
static bool help_loops(th__thread *self, const th__thread *owner, th__ref ref) {
  bool any = false;
  int64_t end = self->watched == ref ? 0 : th__now_ns() + WATCH_NS;
  do {
    for (int i = 0; i < 32; i++) {
      if (th__ref_finished(ref)) return true;
      if (th__loop_help(owner, ref)) {
        any = true;
        end = th__now_ns() + WATCH_NS;
      }
      th__pause();
    }
  } while (end != 0 && th__now_ns() < end);
  self->watched = any ? 0 : ref;
  return any;
}

/* The thread that runs a task, if it still does. */
static th__thread *owner_of(th__ref ref) {
  uint32_t number = th__load(&th__task_at(TH__REF_SLOT(ref))->owner, TH__RELAXED);
  return th__load(&th__thread_numbers[number % TH__MAX_THREADS], TH__ACQUIRE);
}

/* A running ancestor: ours to complain about, or its thread waits for something itself, or runs a loop. */
static verdict look_running(th__thread *self, path *p, step *s, th__ref *down) {
  if (on_own_stack(self, s->ref)) return DEADLOCK;
  th__thread *owner = owner_of(s->ref);
  if (owner == NULL || s->edge != 0) return DEAD_END;
  th__ref waits = th__load(&owner->waiting_for, TH__SEQ_CST);
  if (waits != 0 && !th__ref_finished(waits) && !th__ref_finished(s->ref)) {
    s->edge = 1;
    *down = waits;
    return DESCEND;
  }
  bool threads = th__the.mode == TH__MODE_THREADS || th__the.mode == TH__MODE_SHUFFLE_THREADS;
  if (p->watched || !threads) return DEAD_END;
  p->watched = !help_loops(self, owner, s->ref);
  return p->watched ? DEAD_END : RETRY;
}

/* Runs a ready ancestor that was found at the end of the path. */
static verdict run_found(th__thread *self, const path *p, th__task *t, bool lanes) {
  th__ref ref = p->steps[p->depth - 1].ref;
  if (lanes && th__the.mode != TH__MODE_SERIAL) return DEAD_END; /* the issue thread's */
  if (!th__claim(self, ref)) return RETRY;
  th__switch saved;
  th__switch_enter(&saved);
  self->tick = 0;
  if (lanes) {
    th__lanes_run_now(self, t);
  } else {
    th__run(self, t, p->depth > 1 ? p->steps[p->depth - 2].ref : 0);
  }
  th__switch_leave(&saved);
  return RETRY;
}

static verdict look(th__thread *self, path *p, th__ref *down) {
  step *s = &p->steps[p->depth - 1];
  th__task *t = th__task_at(TH__REF_SLOT(s->ref));
  uint64_t word = th__load(&t->word, TH__ACQUIRE);
  if (TH__WORD_GENERATION(word) != TH__REF_GENERATION(s->ref)) return RETRY;
  bool lanes = th__load(&t->kind_flags, TH__RELAXED) & TH__LANE_TASK;
  if (TH__WORD_READY(word)) return run_found(self, p, t, lanes);
  /* Its body has returned, to wait for memory or a token: the thread that ran it has nothing to do with it any more. */
  bool left = (word & TH__STARVING) || ((word & TH__TOKEN_OPEN) && TH__WORD_PREDS(word) > 0);
  switch (TH__WORD_PHASE(word)) {
  case TH__RUNNING: return left ? DEAD_END : look_running(self, p, s, down);
  case TH__PENDING:
  case TH__JOIN:
    *down = next_edge(s);
    return *down != 0 ? DESCEND : th__ref_finished(s->ref) ? RETRY : DEAD_END;
  default: return DEAD_END;
  }
}

static bool on_path(const path *p,
                    th__ref ref) { /* only cycles through waiting threads can come back */
  for (uint32_t i = p->depth > SMALL ? p->depth - SMALL : 0; i < p->depth; i++)
    if (p->steps[i].ref == ref) return true;
  return false;
}

th__help_result th__help(th__thread *self, th__ref target) {
  path p; /* its small steps are not worth clearing */
  p.steps = p.small;
  p.depth = 0;
  p.capacity = SMALL;
  p.watched = false;
  th__help_result result = TH__HELP_STUCK;
  uint32_t dead_ends = 0;
  path_push(&p, target);
  while (p.depth > 0 && dead_ends < STUCK_LIMIT) {
    if (th__ref_finished(p.steps[p.depth - 1].ref)) {
      p.depth--;
      continue;
    }
    th__ref down = 0;
    verdict v = look(self, &p, &down);
    if (v == DEADLOCK) {
      result = TH__HELP_DEADLOCK;
      break;
    }
    if (v == DEAD_END || (v == DESCEND && (on_path(&p, down) || !path_push(&p, down)))) {
      dead_ends++;
      p.depth--;
    }
  }
  if (p.steps != p.small) th__free(p.steps);
  if (result != TH__HELP_DEADLOCK && th__ref_finished(target)) result = TH__HELP_DONE;
  return result;
}

bool th__help_again(th__thread *self) {
  th__ref ref = self->watched;
  if (ref == 0) return false;
  if (!th__ref_finished(ref)) {
    th__thread *owner = owner_of(ref);
    if (owner == NULL || !th__loop_help(owner, ref)) return false;
  }
  self->watched = 0;
  return true;
}

/* Sets the mark on a task that has not begun. True: it was not marked before. */
static bool mark_raised(th__thread *self, th__ref ref) {
  th__task *t = th__task_at(TH__REF_SLOT(ref));
  uint8_t place = th__load(&t->place, TH__RELAXED);
  uint64_t word = th__load(&t->word, TH__ACQUIRE);
  do {
    if (TH__WORD_GENERATION(word) != TH__REF_GENERATION(ref) || (word & TH__RAISED)) return false;
    uint32_t phase = TH__WORD_PHASE(word); /* one that is entering belongs to its submitter alone */
    if (phase != TH__PENDING && phase != TH__JOIN) return false;
  } while (!th__cas_weak(&t->word, &word, word | TH__RAISED, TH__ACQ_REL));
  if (TH__WORD_READY(word)) th__publish_raised(self, ref, place);
  return true;
}

/* Marks target and its nearest unfinished ancestors, so that they go first when they are or become ready. */
void th__raise(th__thread *self, th__ref target) {
  th__ref line[SMALL];
  uint32_t n = 1;
  line[0] = target;
  for (uint32_t i = 0; i < n; i++) {
    if (!mark_raised(self, line[i])) continue;
    step s = {line[i], TH__REF_SLOT(line[i]) + 1, 0};
    th__ref pred;
    while (n < SMALL && (pred = next_edge(&s)) != 0) line[n++] = pred;
  }
}
