/* Readings of a case as lines: for people, with the goal beside them, or as JSON. */
#ifndef THRUM_BENCH_COMMON_OPS_REPORT_H
#define THRUM_BENCH_COMMON_OPS_REPORT_H

#include "common/ops_programs.h"

void ops_report_head(void);
/* ours: WHO_THRUM or WHO_INLINE. readings of all programs with so many threads. */
void ops_report_row(const ops_case *c, int workers, ops_who ours, const bench_reading *readings);
void ops_report_json(const ops_case *c, int workers, ops_who who, const bench_reading *r);
void ops_report_absent(const ops_case *c);
void ops_report_end(void);

#endif
