/* A fork while another thread is inside the library, stopped at a chosen place by an allocator that waits there. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/var.h"
#include "support/tasks.h"

TestSuite(fork, .timeout = 60);

static void *watched;     /* the block whose release stops the thread; NULL: none */
static int releases;      /* of that block */
static sem_t inside, out; /* posted there, and to let the thread go on */

static void *allocate(size_t bytes, void *user) { return malloc(bytes); }
static void *resize(void *block, size_t bytes, void *user) { return realloc(block, bytes); }

static void release(void *block, void *user) {
  if (block == NULL || block != watched) {
    free(block);
    return;
  }
  if (releases++ > 0) return; /* once more: what the tests look for */
  sem_post(&inside);
  sem_wait(&out);
}

static const th_allocator stopping = {allocate, resize, release, NULL};

static void *read_more(void *arg) {
  for (int i = 0; i < 64; i++) push_nop(arg, NULL);
  return NULL;
}

/* Releases v, which another thread was in the middle of reading. */
static int in_child(th_var *v) {
  if (th_reset_after_fork() != TH_OK) return 1;
  th_var_release(v);
  return releases == 1 ? 0 : 2;
}

/* A list of readers that moves has two places at one moment. */
Test(fork, list_of_readers_moves) {
  if (!ENGINE_THREADS_AFTER_FORK) return;
  th_config config = {.size = sizeof config, .workers = 1, .allocator = &stopping};
  cr_assert(eq(int, th_init(&config), TH_OK));
  sem_init(&inside, 0, 0);
  sem_init(&out, 0, 0);
  th_var *v = th_var_new();
  th_token *gate = close_gate(v); /* readers stay unfinished */
  for (int i = 0; i < 2 * TH__INLINE_READERS; i++) push_nop(v, NULL);
  watched = v->readers;
  cr_assert(ne(ptr, watched, v->inline_readers));
  pthread_t reader;
  pthread_create(&reader, NULL, read_more, v);
  sem_wait(&inside);
  pid_t child = fork();
  if (child == 0) _exit(in_child(v));
  int status = -1;
  waitpid(child, &status, 0);
  cr_expect(eq(int, status, 0), "status %x", (unsigned)status);
  sem_post(&out);
  pthread_join(reader, NULL);
  free(watched);
  watched = NULL;
  th_token_signal(gate, TH_OK, NULL);
  cr_assert(eq(int, th_wait_all(), TH_OK));
  th_var_release(v);
  cr_assert(eq(int, th_shutdown(), TH_OK));
}
