/* The tasks of drive.c: each reads and writes the plain cells of its variables. */
#ifndef THRUM_TESTS_EXPLORE_ENGINE_JOBS_H
#define THRUM_TESTS_EXPLORE_ENGINE_JOBS_H

#include "engine/base/atomic.h"
#include "tests/explore/explore.h"
#include "thrum/engine.h"

#define CELLS 8

static th_var *vars[CELLS];
static int cells[CELLS];
static _Atomic uint32_t ran; /* tasks; waited for by threads that must not help */

typedef struct job {
  uint8_t n_reads, n_writes, reads[6], writes[4];
  bool checked; /* the first cell written was `before` */
  int before;
} job;

static void work(const job *j) {
  int sum = 0;
  for (int i = 0; i < j->n_reads; i++) sum += cells[j->reads[i]];
  EX_CHECK(sum >= 0);
  if (j->checked) EX_CHECK(cells[j->writes[0]] == j->before);
  for (int i = 0; i < j->n_writes; i++) cells[j->writes[i]]++;
}

static th_status job_run(void *arg, th_task_context *context) {
  work(arg);
  th__fetch_add(&ran, 1, TH__RELEASE);
  th__unpark(&ran, INT32_MAX);
  return TH_OK;
}

/* A job whose argument fits its task's record, so that the engine takes its way for plain tasks. */
typedef struct small_job {
  uint8_t n_reads, n_writes, cells[6];
} small_job;

static th_status small_run(void *arg, th_task_context *context) {
  const small_job *s = arg;
  job j = {.n_reads = s->n_reads, .n_writes = s->n_writes};
  for (int i = 0; i < j.n_reads; i++) j.reads[i] = s->cells[i];
  for (int i = 0; i < j.n_writes; i++) j.writes[i] = s->cells[j.n_reads + i];
  return job_run(&j, context);
}

static small_job small_of(const job *j) {
  small_job s = {.n_reads = j->n_reads, .n_writes = j->n_writes};
  for (int i = 0; i < j->n_reads; i++) s.cells[i] = j->reads[i];
  for (int i = 0; i < j->n_writes; i++) s.cells[j->n_reads + i] = j->writes[i];
  return s;
}

static void push_flags(job j, uint32_t flags, int priority) {
  th_var *reads[6], *writes[4];
  for (int i = 0; i < j.n_reads; i++) reads[i] = vars[j.reads[i]];
  for (int i = 0; i < j.n_writes; i++) writes[i] = vars[j.writes[i]];
  th_task t = {.name = "job",
               .run = job_run,
               .arg = &j,
               .arg_size = sizeof j,
               .reads = reads,
               .n_reads = j.n_reads,
               .writes = writes,
               .n_writes = j.n_writes,
               .flags = flags,
               .priority = priority};
  small_job s;
  if (!j.checked && j.n_reads + j.n_writes <= 3) {
    s = small_of(&j);
    t.run = small_run;
    t.arg = &s;
    t.arg_size = sizeof s;
  }
  EX_CHECK(th_push(&t) == TH_OK);
}
static void push(job j) { push_flags(j, 0, 0); }

#define WRITES(...) .n_writes = sizeof((uint8_t[]){__VA_ARGS__}), .writes = {__VA_ARGS__}
#define READS(...)  .n_reads = sizeof((uint8_t[]){__VA_ARGS__}), .reads = {__VA_ARGS__}

#endif
