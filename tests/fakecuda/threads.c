/* Owns threads that run commands without the lock, at times of their own: then the host's threads really race with what a device would do,
 * and the thread sanitizer sees it. They are never joined; without the setting they sleep. What the lock orders by the way hides some races:
 * a thread that calls the driver has seen what was over before. */
#include <time.h>
#include <unistd.h>

#include "fakecuda/fake.h"

static int started;

/* Runs a command that was taken. */
static void run(struct CUstream_st *s, fake_record *r) {
  if (r->run == NULL || fake_must_lock(r)) {
    if (r->run != NULL) r->run(r->arg);
    fake_finish(s, r);
    return;
  }
  unsigned us = fake_below(4) == 0 ? fake_below(200) : 0;
  s->busy = true;
  fake_unlock();
  fake_unlocked = true;
  if (us > 0) usleep(us);
  r->run(r->arg);
  fake_unlocked = false;
  fake_lock();
  s->busy = false;
  fake_finish(s, r);
}

static void *work(void *arg) {
  fake_lock();
  for (;;) {
    struct CUstream_st *s = fake_threaded() ? fake_choose() : NULL;
    if (s == NULL) {
      pthread_cond_wait(&fake.changed, &fake.lock);
      continue;
    }
    fake_record *r = fake_take(s);
    if (r != NULL) run(s, r);
    pthread_cond_broadcast(&fake.changed);
  }
  return NULL;
}

void fake_threads_need(void) {
  for (; started < fake.set.threads; started++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, NULL) != 0) {
      fake_complain("no thread to run commands");
      break;
    }
    pthread_detach(thread);
  }
  pthread_cond_broadcast(&fake.changed);
}

void fake_threads_wait(void) {
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec++;
  (void)pthread_cond_timedwait(&fake.changed, &fake.lock, &end);
}

static bool is_busy(void) {
  for (struct CUstream_st *s = fake.streams; s != NULL; s = s->next)
    if (s->busy && s->context->dead != TH__CU_SUCCESS) return true;
  return false;
}

void fake_threads_idle(void) {
  while (is_busy()) fake_threads_wait();
}
