/* Traces as text for the tests of thrum-trace. */
#ifndef THRUM_TESTS_SUPPORT_TRACES_H
#define THRUM_TESTS_SUPPORT_TRACES_H

/* The diamond A, then B and C side by side on two workers, then D, with a host wait around; times in ns:
 *   A #1 worker 0 100..200, B #2 worker 0 210..310, C #3 worker 1 230..430, D #4 worker 1 440..500, all submitted at 0..30. */
extern const char traces_diamond[];

/* Two ops on worker 0 of two, the second behind the first, which copies; with work, notes, memory, a wait for memory and counters.
 *   copy #1 100..200, submitted at 0; add #2 submitted at 10, ready 200, found no memory at 210, 300..400. */
extern const char traces_rich[];

/* text with the first `from` replaced by `to`; malloc'ed. NULL when there is none. */
char *traces_replace(const char *text, const char *from, const char *to);

#endif
