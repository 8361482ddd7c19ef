/* What drivers ask of the stand-ins below the engine. */
#ifndef THRUM_TESTS_EXPLORE_ENGINE_BASE_H
#define THRUM_TESTS_EXPLORE_ENGINE_BASE_H

/* A thread that used the engine ends. */
void base_thread_ends(void);
/* This thread found nothing to do: it looks for tasks that starve. */
void base_thread_is_idle(void);

#endif
