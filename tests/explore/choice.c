/* Owns the choices of a schedule: the exhaustive search, random walks, replay. A schedule is the sequence of its choices; most
 * are 0 ("as usual"), and a path names the others. */
#include "tests/explore/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DECISIONS_MOST 20000 /* of one search path */
#define PATH_MOST      20000
#define RARE_MOST      12 /* rare choices in one random schedule: older values do not come for ever */
#define CHANGES        3 /* of priority in one schedule */

static ex_plan plan;
static uint32_t index_now; /* choices so far, also those that were not free */
static int preemptions, rare;

/* The search: what was taken at each free choice, and how many there were. */
static struct { uint8_t taken, options; } search[DECISIONS_MOST];
static uint32_t search_depth, search_length;

/* Choices of this schedule that were not 0. */
typedef struct step {
  uint32_t index;
  uint32_t taken;
} step;
static step path[PATH_MOST], replay[PATH_MOST];
static uint32_t path_length, replay_length, replay_next;

/* Random walks: some go by priorities that change at a few places (Burckhardt and others, ASPLOS 2010), some switch with an
 * even chance. */
static uint64_t random_state;
static int switch_one_in; /* 0 = by priority */
static int priority[EX_THREADS];
static long change_at[CHANGES];
static long steps_before; /* of the schedule before: where a change may fall */

static uint32_t draw(uint32_t n) {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (uint32_t)((random_state * UINT64_C(2685821657736338717) >> 33) % n);
}

static void random_begin(void) {
  random_state = (plan.seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
  static const int chances[] = {0, 2, 0, 8, 0, 32};
  switch_one_in = chances[draw(6)];
  for (int i = 0; i < EX_THREADS; i++) {
    priority[i] = CHANGES + i;
    int other = (int)draw((uint32_t)i + 1), kept = priority[i];
    priority[i] = priority[other];
    priority[other] = kept;
  }
  uint32_t length = steps_before > 10 ? (uint32_t)steps_before : 10;
  for (int i = 0; i < CHANGES; i++) change_at[i] = draw(length);
}

static void replay_begin(const char *text) {
  replay_length = replay_next = 0;
  while (text != NULL && *text != 0 && replay_length < PATH_MOST) {
    char *end;
    step s = {(uint32_t)strtoul(text, &end, 10), 0};
    if (*end == ':') s.taken = (uint32_t)strtoul(end + 1, &end, 10);
    replay[replay_length++] = s;
    text = *end == ',' ? end + 1 : end;
    if (*end != ',') break;
  }
}

void ex_plan_begin(const ex_plan *p) {
  plan = *p;
  steps_before = ex.steps;
  index_now = 0;
  preemptions = rare = 0;
  search_depth = 0;
  path_length = 0;
  if (plan.mode == EX_RANDOM) random_begin();
  if (plan.mode == EX_REPLAY) replay_begin(plan.path);
}

void ex_search_restart(void) { search_length = 0; }

bool ex_search_next(void) {
  search_length = search_depth;
  while (search_length > 0) {
    if (++search[search_length - 1].taken < search[search_length - 1].options) return true;
    search_length--;
  }
  return false;
}

static int search_choose(int n) {
  if (search_depth == search_length) {
    if (search_length == DECISIONS_MOST) ex_fail("too many choices for a search");
    search[search_length].taken = 0;
    search[search_length++].options = (uint8_t)n;
  }
  return search[search_depth++].taken;
}

static int replay_choose(int n) {
  if (replay_next == replay_length || replay[replay_next].index != index_now) return 0;
  return (int)(replay[replay_next++].taken % (uint32_t)n);
}

static int remember(int taken) {
  if (taken != 0 && path_length < PATH_MOST)
    path[path_length++] = (step){index_now, (uint32_t)taken};
  index_now++;
  return taken;
}

static int random_thread(const int *ids, int n, bool preempting) {
  if (switch_one_in > 0) {
    if (!preempting) return (int)draw((uint32_t)n);
    return draw((uint32_t)switch_one_in) == 0 ? 1 + (int)draw((uint32_t)n - 1) : 0;
  }
  for (int i = 0; i < CHANGES; i++)
    if (ex.steps >= change_at[i] && change_at[i] >= 0) {
      change_at[i] = -1;
      priority[ids[0]] = i; /* lower than all at the start */
    }
  /* Who waits in a loop lets the others go first. */
  if (!preempting && ex.threads[ex.running].yielded)
    for (int i = 0; i < EX_THREADS; i++)
      if (priority[i] < priority[ex.running]) {
        int kept = priority[i];
        priority[i] = priority[ex.running];
        priority[ex.running] = kept;
      }
  int best = 0;
  for (int i = 1; i < n; i++)
    if (priority[ids[i]] > priority[ids[best]]) best = i;
  return best;
}

int ex_choose_thread(const int *ids, int n, bool preempting, bool worthwhile) {
  if (n == 1 || ex.quiet) return 0;
  int taken = 0;
  if (plan.mode == EX_REPLAY) {
    taken = replay_choose(n);
  } else if (plan.mode == EX_RANDOM) {
    taken = random_thread(ids, n, preempting);
  } else if (!preempting || (worthwhile && preemptions < plan.preemptions)) {
    taken = search_choose(n);
    if (preempting && taken != 0) preemptions++;
  }
  return remember(taken);
}

int ex_choose_rare(int n) {
  if (n == 1 || ex.quiet) return 0;
  int taken = 0;
  if (plan.mode == EX_REPLAY) {
    taken = replay_choose(n);
  } else if (plan.mode == EX_RANDOM) {
    if (rare < RARE_MOST && draw(6) == 0) taken = 1 + (int)draw((uint32_t)n - 1);
  } else if (rare < plan.rare) {
    taken = search_choose(n);
  }
  if (taken != 0) rare++;
  return remember(taken);
}

uint32_t ex_path_length(void) { return path_length; }

void ex_path_without(uint32_t skip, char *out, size_t bytes) {
  size_t n = 0;
  out[0] = 0;
  for (uint32_t i = 0; i < path_length && n + 24 < bytes; i++) {
    if (i == skip) continue;
    n += (size_t)snprintf(out + n, bytes - n, "%s%u:%u", n > 0 ? "," : "", path[i].index,
                          path[i].taken);
  }
}

const char *ex_path(void) {
  static char text[64 * 1024];
  ex_path_without(UINT32_MAX, text, sizeof text);
  return text;
}
