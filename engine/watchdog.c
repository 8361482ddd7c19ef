/* Owns the watchdog: a thread that looks from time to time for tasks that do not end, follows what blocks them and tells the
 * logger, once per culprit. It has a thread of its own, because a callback on the service thread may be the wait that never
 * ends. `suspects` belong to that thread; `thread` and `alive` are guarded by life.c's `starting`. */
#include <string.h>

#include "engine/parts.h"

#define KEPT                                                                                       \
  8 /* of the oldest pending tasks: with several submitters one of them is oldest by accident */
#define CHAIN     16   /* steps from a task to what blocks it */
#define SURVEYED  4096 /* tasks that are asked what blocks them */
#define NAMED     3    /* of those blocked */
#define TASK_TEXT 160

/* One of the oldest pending tasks. */
typedef struct suspect {
  th__ref ref, root; /* root: what was told about it; 0 = nothing yet */
  uint64_t sequence;
  int64_t since; /* when it was seen first */
} suspect;

static th__thread_handle thread;
static bool alive;
static _Atomic uint32_t leave; /* the thread parks on it */
static suspect suspects[KEPT];
static int n_suspects;

/* What blocks ref in the end. */
static th__ref root_of(th__ref ref) {
  for (int i = 0; i < CHAIN; i++) {
    th__ref next = th__blocker(ref);
    if (next == 0) break;
    ref = next;
  }
  return ref;
}

/* Appends ": #8 add, #9 multiply" for tasks that root blocks, and returns how many there are. */
static int survey(th__ref root, char *out, size_t room) {
  int blocked = 0;
  uint32_t used = th__slots_used();
  uint64_t sequence;
  for (uint32_t s = th__slots_from(0), seen = 0; s < used && seen < SURVEYED;
       s = th__slots_from(s + 1)) {
    th__ref ref = th__pending_at(s, &sequence);
    if (ref == 0) continue;
    seen++;
    if (ref == root || root_of(ref) != root) continue;
    size_t length = strlen(out);
    if (blocked++ >= NAMED) continue;
    (void)snprintf(out + length, room - length, blocked == 1 ? ": " : ", ");
    length = strlen(out);
    if (!th__task_text(ref, out + length, room - length)) out[length] = 0;
  }
  return blocked;
}

static void tell(th__ref root, int64_t ns) {
  char text[TASK_TEXT], others[NAMED * TASK_TEXT] = "";
  if (!th__task_text(root, text, sizeof text)) return; /* it ended just now */
  int blocked = survey(root, others, sizeof others);
  th__log(TH_LOG_WARNING, "watchdog: no end for %lld ms: %s; %d other operation%s blocked by it%s",
          (long long)(ns / 1000000), text, blocked, blocked == 1 ? " is" : "s are", others);
}

static bool told_already(th__ref root) {
  for (int i = 0; i < n_suspects; i++)
    if (suspects[i].root == root) return true;
  return false;
}

/* Keeps `list` sorted by age. */
static int insert(suspect *list, int n, suspect s) {
  int at = n < KEPT ? n : KEPT - 1;
  if (n == KEPT && list[at].sequence < s.sequence) return n;
  for (; at > 0 && list[at - 1].sequence > s.sequence; at--) list[at] = list[at - 1];
  list[at] = s;
  return n < KEPT ? n + 1 : n;
}

/* What was known of a suspect that is still there; of one that has ended, the good news. */
static void carry_over(suspect *list, int n) {
  for (int i = 0; i < n_suspects; i++) {
    suspect *old = &suspects[i];
    int at = 0;
    while (at < n && list[at].ref != old->ref) at++;
    if (at < n) {
      list[at].since = old->since;
      list[at].root = old->root;
    } else if (old->root == old->ref && th__ref_finished(old->ref)) {
      th__log(TH_LOG_INFO, "watchdog: #%llu ended after all", (unsigned long long)old->sequence);
    }
  }
}

static void look(int64_t limit) {
  suspect list[KEPT] = {{0}};
  int n = 0;
  int64_t now = th__now_ns();
  uint32_t used = th__in_flight() > 0 ? th__slots_used() : 0;
  for (uint32_t s = th__slots_from(0); s < used; s = th__slots_from(s + 1)) {
    suspect found = {.since = now};
    found.ref = th__pending_at(s, &found.sequence);
    if (found.ref != 0) n = insert(list, n, found);
  }
  carry_over(list, n);
  memcpy(suspects, list, sizeof suspects);
  n_suspects = n;
  for (int i = 0; i < n; i++) {
    suspect *s = &suspects[i];
    if (s->root != 0 || now - s->since < limit) continue;
    th__ref root = root_of(s->ref);
    bool known = told_already(root);
    s->root = root;
    if (!known) tell(root, now - s->since);
  }
}

static void watch(void *arg) {
  (void)arg;
  int64_t limit = (int64_t)th__the.config.watchdog_ms * 1000000;
  while (th__load(&leave, TH__ACQUIRE) == 0) {
    th__park(&leave, 0, limit / 4);
    if (th__load(&th__the.phase, TH__ACQUIRE) == TH__PHASE_ON) look(limit);
  }
}

void th__watchdog_start(void) {
  if (th__the.config.watchdog_ms == 0 || th__the.config.logger == NULL) return;
  n_suspects = 0;
  th__store(&leave, 0, TH__RELEASE);
  alive = th__thread_start(&thread, watch, NULL, "thrum-watchdog") == TH_OK;
  if (!alive) th__log(TH_LOG_WARNING, "watchdog: not watching: %s", th_last_error());
}

void th__watchdog_stop(void) {
  if (!alive) return;
  th__store(&leave, 1, TH__RELEASE); /* pairs with the load in watch() */
  th__unpark(&leave, 1);
  th__thread_join(&thread);
  alive = false;
}

void th__watchdog_after_fork(void) { alive = false; }
