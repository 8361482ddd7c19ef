/* Owns the long run that forks while other threads are inside the library's small locks: of arrays with a history, of the
 * operator table, of the random generator. A child that meets one of them for ever is ended by an alarm. */
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress/limits.h"
#include "support/tasks.h"
#include "thrum/thrum.h"

enum { CHURNERS = 3, CHILD_SECONDS = 20 };

static uint32_t stop; /* by __atomic */

static th_status infer_nothing(const th_op_shape *inputs, th_op_shape *outputs,
                               const void *params) {
  outputs[0] = inputs[0];
  return TH_OK;
}

static th_status compute_nothing(const th_op_operand *inputs, const th_op_operand *outputs,
                                 const void *params, th_task_context *context) {
  return TH_OK;
}

static th_status register_again(void) {
  th_op_definition definition = {.size = sizeof definition,
                                 .name = "fork_locks",
                                 .n_inputs = 1,
                                 .n_outputs = 1,
                                 .infer = infer_nothing,
                                 .cpu = compute_nothing};
  return th_op_register(&definition);
}

/* Records a call, walks back through it and releases everything; the leaf may be shared. */
static bool use_leaf(th_array *leaf) {
  th_array *noise = th_normal(NULL, TH_SHAPE(4), 0, 1, TH_F32, th_cpu(0));
  th_array *product = th_multiply(leaf, noise);
  th_array *loss = th_sum(product, NULL, 0, false);
  bool ok = loss != NULL && th_backward(loss, 0) == TH_OK;
  th_zero_grad(leaf);
  th_release(loss);
  th_release(product);
  th_release(noise);
  return ok && register_again() == TH_EBUSY;
}

static th_array *new_leaf(void) {
  th_array *leaf = th_ones(TH_SHAPE(4), TH_F32, th_cpu(0));
  return leaf != NULL && th_require_grad(leaf) == TH_OK ? leaf : NULL;
}

static void *churn(void *arg) {
  bool ok = true;
  while (ok && !__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
    th_array *leaf = new_leaf();
    ok = leaf != NULL && use_leaf(leaf) && use_leaf(arg);
    th_release(leaf);
  }
  return ok ? arg : NULL;
}

/* Everything that those locks guard works: releasing at once, the rest after a reset. */
static int in_child(th_array *shared, th_array *own) {
  alarm(CHILD_SECONDS);
  th_release(own);
  th_release(shared);
  if (!ENGINE_THREADS_AFTER_FORK) return 0;
  if (th_reset_after_fork() != TH_OK) return 1;
  if (register_again() != TH_EBUSY) return 2;
  th_array *leaf = new_leaf();
  if (leaf == NULL || !use_leaf(leaf)) return 3;
  th_release(leaf);
  return th_wait_all() == TH_OK ? 0 : 4;
}

bool fork_locks(long n, char *message, size_t bytes) {
  if (ADDRESS_SANITIZER) { /* its allocator's own locks do not survive a fork among busy threads */
    snprintf(message, bytes, "not tried with the address sanitizer");
    return true;
  }
  pthread_t threads[CHURNERS];
  tasks_init(NULL, 2, 0);
  th_array *shared = new_leaf();
  if (shared == NULL || register_again() != TH_OK) {
    snprintf(message, bytes, "start: %s", th_last_error());
    return false;
  }
  __atomic_store_n(&stop, 0, __ATOMIC_RELEASE);
  for (int i = 0; i < CHURNERS; i++) pthread_create(&threads[i], NULL, churn, shared);
  bool ok = true;
  snprintf(message, bytes, "%ld forks", n);
  for (long i = 0; ok && i < n; i++) {
    th_array *own = new_leaf();
    pid_t child = fork();
    if (child == 0) _exit(in_child(shared, own));
    int status = -1;
    waitpid(child, &status, 0);
    th_release(own);
    ok = status == 0;
    if (!ok)
      snprintf(message, bytes, "child %ld: exit code %d, signal %d", i, WEXITSTATUS(status),
               WTERMSIG(status));
  }
  __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
  for (int i = 0; i < CHURNERS; i++) {
    void *result = NULL;
    pthread_join(threads[i], &result);
    if (ok && result == NULL) ok = (snprintf(message, bytes, "a thread failed"), false);
  }
  th_release(shared);
  return th_shutdown() == TH_OK && ok;
}
