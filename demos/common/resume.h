/* A training's checkpoint file: written every so many steps while the training goes on, read when the program starts again. */
#ifndef THRUM_DEMOS_COMMON_RESUME_H
#define THRUM_DEMOS_COMMON_RESUME_H

#include <thrum/thrum.h>

typedef struct resume {
  const char *path;    /* NULL: there is none, and nothing below does anything */
  long every;          /* steps between two checkpoints */
  th_checkpoint parts; /* of the training */
  long steps;          /* since the last one */
  th_array *saving;    /* the one that is being written; NULL at the start */
} resume;

/* Puts the training where the file's was; without a file, begins one. All exit with a message on failure. */
void resume_begin(resume *r);
void resume_step(resume *r); /* after each step */
void resume_end(resume *r);  /* writes a last one and waits for it */

/* Prints "digest " and 16 hexadecimal digits that depend on every bit of the arrays (FNV-1a). */
void resume_digest(th_array *const *arrays, int n);

#endif
