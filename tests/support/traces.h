/* Traces as text for the tests of thrum-trace. */
#ifndef THRUM_TESTS_SUPPORT_TRACES_H
#define THRUM_TESTS_SUPPORT_TRACES_H

/* The diamond A, then B and C side by side on two workers, then D, with a host wait around; times in ns:
 *   A #1 worker 0 100..200, B #2 worker 0 210..310, C #3 worker 1 230..430, D #4 worker 1 440..500, all submitted at 0..30. */
extern const char traces_diamond[];

/* text with the first `from` replaced by `to`; malloc'ed. NULL when there is none. */
char *traces_replace(const char *text, const char *from, const char *to);

#endif
