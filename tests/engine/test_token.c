/* Completion tokens: foreign code ends a task once, from any thread. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/thread.h"
#include "support/tasks.h"

TestSuite(token, .timeout = 60);

static th_token *_Atomic published;

static th_status publish(void *arg, th_task_context *context) {
  th__store(&published, th_context_token(context), TH__RELEASE);
  return TH_OK;
}

static th_status refuse(void *arg, th_task_context *context) {
  th__store(&published, th_context_token(context), TH__RELEASE);
  return th_context_fail(context, TH_EIO, "no connection");
}

static th_token *push_async(th_task_fn run, th_var *v) {
  published = NULL;
  th_task t = {.name = "foreign", .run = run, .writes = &v, .n_writes = 1};
  if (th_push_async(&t) != TH_OK) return NULL;
  while (th__load(&published, TH__ACQUIRE) == NULL) th__yield();
  return th__load(&published, TH__ACQUIRE);
}

static void *signal_later(void *arg) {
  th__sleep_ns(3000000);
  th_token_signal(arg, TH_OK, NULL);
  return NULL;
}

Test(token, another_thread_completes_the_task) {
  static const char *const modes[] = {"threads", "serial", "shuffle-threads:1"};
  for (int m = 0; m < 3; m++) {
    tasks_init(modes[m], 1, 0);
    th_var *v = th_var_new();
    _Atomic int after = 0;
    th_token *token = push_async(publish, v);
    push_add(&after, 1, v, NULL);
    cr_assert(not(th_var_is_ready(v)));
    pthread_t t;
    pthread_create(&t, NULL, signal_later, token);
    cr_assert(eq(int, th_wait_var_idle(v), TH_OK), "mode %s", modes[m]);
    cr_assert(eq(int, after, 1));
    pthread_join(t, NULL);
    cr_assert(eq(int, th_token_signal(token, TH_OK, NULL), TH_EINVAL));
    cr_assert(ne(ptr, (void *)strstr(th_last_error(), "signalled or dropped before"), NULL));
    th_var_release(v);
    th_shutdown();
  }
}

Test(token, tokens_of_an_earlier_engine_match_nothing) {
  th_token *old[5];
  for (int start = 0; start < 5; start++) {
    tasks_init("threads", 1, 0);
    th_var *v = th_var_new();
    th_token *token = push_async(publish, v);
    for (int i = 0; i < start; i++)
      cr_assert(eq(int, th_token_signal(old[i], TH_EIO, "late"), TH_EINVAL), "%d", i);
    cr_assert(eq(int, th_token_signal(token, TH_OK, NULL), TH_OK));
    cr_assert(eq(int, th_wait_var(v), TH_OK));
    old[start] = token;
    th_var_release(v);
    th_shutdown();
  }
}

Test(token, failure_and_drop_poison) {
  tasks_init("threads", 1, 0);
  th_var *v = th_var_new();
  cr_assert(eq(int, th_token_signal(push_async(publish, v), TH_EIO, "line is dead"), TH_OK));
  cr_assert(eq(int, th_wait_var(v), TH_EIO));
  cr_assert(ne(ptr, (void *)strstr(th_last_error(), "foreign: line is dead"), NULL), "%s",
            th_last_error());
  cr_assert(eq(int, th_token_signal(push_async(publish, v), TH_OK, NULL), TH_OK));
  cr_assert(eq(int, th_wait_var(v), TH_OK)); /* a good whole write cures */
  cr_assert(eq(int, th_token_drop(push_async(publish, v)), TH_OK));
  cr_assert(eq(int, th_wait_var(v), TH_ECANCELED));
  cr_assert(ne(ptr, (void *)strstr(th_last_error(), "dropped"), NULL));
  th_token *late = push_async(refuse, v);
  cr_assert(eq(int, th_wait_var(v), TH_EIO));
  cr_assert(eq(int, th_token_signal(late, TH_OK, NULL), TH_EINVAL));
  cr_assert(eq(int, th_token_signal(NULL, TH_OK, NULL), TH_EINVAL));
  th_var_release(v);
  th_shutdown();
}

Test(token, poisoned_input_skips_and_closes_the_token) {
  tasks_init("threads", 1, 0);
  th_var *in = th_var_new(), *out = th_var_new();
  push_fail("bad", "no", NULL, in);
  th_task t = {.run = publish, .reads = &in, .n_reads = 1, .writes = &out, .n_writes = 1};
  cr_assert(eq(int, th_push_async(&t), TH_OK));
  cr_assert(eq(int, th_wait_var(out), TH_EKERNEL));
  th_var_release(in);
  th_var_release(out);
  th_shutdown();
}

Test(token, dump_names_the_task_whose_token_is_missing) {
  tasks_init("threads", 1, 0);
  th_var *v = th_var_new();
  th_token *token = push_async(publish, v);
  push_nop(v, v);
  char *text = NULL;
  size_t size = 0;
  FILE *f = open_memstream(&text, &size);
  th_engine_dump(f);
  fclose(f);
  cr_assert(ne(ptr, (void *)strstr(text, "foreign"), NULL), "%s", text);
  cr_assert(ne(ptr, (void *)strstr(text, "token was not signalled"), NULL), "%s", text);
  free(text);
  th_token_signal(token, TH_OK, NULL);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  th_var_release(v);
  th_shutdown();
}

typedef struct race {
  th_token *token;
  _Atomic int *accepted;
} race;

static void *signal_racing(void *arg) {
  race *r = arg;
  if (th_token_signal(r->token, TH_OK, NULL) == TH_OK) th__fetch_add(r->accepted, 1, TH__RELAXED);
  return NULL;
}

Test(token, exactly_one_of_racing_signals_counts) {
  tasks_init("threads", 1, 0);
  th_var *v = th_var_new();
  for (int i = 0; i < 100; i++) {
    _Atomic int accepted = 0;
    race r = {push_async(publish, v), &accepted};
    pthread_t t[3];
    for (int k = 0; k < 3; k++) pthread_create(&t[k], NULL, signal_racing, &r);
    for (int k = 0; k < 3; k++) pthread_join(t[k], NULL);
    cr_assert(eq(int, accepted, 1));
    cr_assert(eq(int, th_wait_var(v), TH_OK));
  }
  th_var_release(v);
  th_shutdown();
}
