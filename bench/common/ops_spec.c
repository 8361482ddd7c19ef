/* Owns the reading of specs and the numbers in inputs. */
#include "common/ops_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DRAWN = 1 << 22 }; /* elements; what is longer repeats them */

static bool parse_type(const char **at, ops_input *in) {
  static const char *const names[] = {"f32", "f64", "i64"};
  in->positive = **at == '+';
  *at += in->positive;
  for (int t = 0; t < 3; t++) {
    if (strncmp(*at, names[t], 3) != 0) continue;
    in->type = (ops_type)t;
    *at += 3;
    if (t != OPS_I64) return true;
    char *end;
    if (**at != '<') return false;
    in->limit = strtoll(*at + 1, &end, 10);
    *at = end;
    return in->limit > 0;
  }
  return false;
}

static bool parse_input(const char *at, ops_input *in) {
  memset(in, 0, sizeof *in);
  if (!parse_type(&at, in) || *at++ != ':') return false;
  while (*at >= '0' && *at <= '9' && in->ndim < OPS_DIMS) {
    char *end;
    in->shape[in->ndim++] = strtoll(at, &end, 10);
    at = end + (*end == 'x');
  }
  in->transposed = *at == 'T';
  in->strided = *at == 'S';
  if (in->ndim == 0 || at[*at != 0] != 0) return false;
  memcpy(in->stored, in->shape, sizeof in->stored);
  if (in->transposed && in->ndim >= 2) {
    in->stored[in->ndim - 1] = in->shape[in->ndim - 2];
    in->stored[in->ndim - 2] = in->shape[in->ndim - 1];
  }
  if (in->strided) in->stored[in->ndim - 1] *= 2;
  in->elements = 1;
  for (int d = 0; d < in->ndim; d++) in->elements *= in->stored[d];
  return true;
}

bool ops_spec_parse(const char *text, ops_spec *out) {
  char words[OPS_SPEC_BYTES], *rest;
  memset(out, 0, sizeof *out);
  out->axis = -1;
  if (strlen(text) >= sizeof words) return false;
  strcpy(out->text, text);
  strcpy(words, text);
  for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
    if (strncmp(word, "axis=", 5) == 0) {
      out->axis = strtoll(word + 5, NULL, 10);
    } else if (strncmp(word, "k=", 2) == 0) {
      out->k = strtoll(word + 2, NULL, 10);
    } else if (out->n == OPS_INPUTS || !parse_input(word, &out->in[out->n++])) {
      return false;
    }
  }
  return true;
}

static uint64_t next(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static void put(const ops_input *in, void *data, int64_t e, uint64_t *state) {
  double low = in->positive ? 0.1 : -2, high = in->positive ? 4 : 2;
  double value = low + (high - low) * (double)(next(state) >> 11) * 0x1p-53;
  if (in->type == OPS_F32) {
    ((float *)data)[e] = (float)value;
  } else if (in->type == OPS_F64) {
    ((double *)data)[e] = value;
  } else {
    ((int64_t *)data)[e] = (int64_t)(next(state) % (uint64_t)in->limit);
  }
}

void *ops_input_data(const ops_spec *s, int i) {
  const ops_input *in = &s->in[i];
  uint64_t state = UINT64_C(0x9E3779B97F4A7C15) + (uint64_t)i;
  int64_t size = in->type == OPS_F32 ? 4 : 8, drawn = in->elements < DRAWN ? in->elements : DRAWN;
  char *data = malloc((size_t)(in->elements * size));
  for (int64_t e = 0; data && e < drawn; e++) put(in, data, e, &state);
  while (data && drawn < in->elements) { /* drawing gigabytes would take longer than measuring */
    int64_t more = in->elements - drawn < drawn ? in->elements - drawn : drawn;
    memcpy(data + drawn * size, data, (size_t)(more * size));
    drawn += more;
  }
  return data;
}

int64_t ops_spec_bytes(const ops_spec *s) {
  int64_t bytes = 0;
  for (int i = 0; i < s->n; i++) bytes += s->in[i].elements * (s->in[i].type == OPS_F32 ? 4 : 8);
  return bytes;
}
