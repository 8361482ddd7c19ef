/* Training steps by Thrum, as a program that is asked. */
#ifndef THRUM_BENCH_COMMON_TRAIN_THRUM_H
#define THRUM_BENCH_COMMON_TRAIN_THRUM_H

/* Serves with so many threads, the caller counted. */
int train_thrum_serve(int workers);

#endif
