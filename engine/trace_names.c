/* Owns the texts of names in a trace: each different content once, found by a hash of the content, because a name's pointer
 * says nothing once its owner is unloaded. Guarded by the lock of trace.c. */
#include "engine/trace_names.h"

#include <string.h>

#include "engine/base/mem.h"
#include "engine/trace_view.h"

enum { MOST_NAMES = 32768, FIRST_SLOTS = 256 };

static char **texts;    /* [n_texts], text i + 1 */
static size_t n_texts;  /* excluding "(other)" */
static uint32_t *slots; /* open addressing, power of two; index + 1, 0 = free */
static size_t n_slots;

static uint64_t hash_of(const char *text, size_t length) {
  uint64_t h = 14695981039346656037u; /* FNV-1a */
  for (size_t i = 0; i < length; i++) h = (h ^ (uint8_t)text[i]) * 1099511628211u;
  return h ^ h >> 32;
}

/* The slot where text is or belongs. */
static size_t slot_of(const char *text, size_t length) {
  size_t i = hash_of(text, length) & (n_slots - 1);
  for (; slots[i] != 0; i = (i + 1) & (n_slots - 1)) {
    const char *have = texts[slots[i] - 1];
    if (strncmp(have, text, length) == 0 && have[length] == 0) break;
  }
  return i;
}

/* Keeps the table at most half full. */
static bool make_room(void) {
  if (n_slots != 0 && n_texts * 2 < n_slots) return true;
  size_t more = n_slots == 0 ? FIRST_SLOTS : n_slots * 2;
  char **new_texts = th__resize(texts, more / 2 * sizeof(*texts));
  if (new_texts == NULL) return false;
  texts = new_texts;
  uint32_t *new_slots = th__zalloc(more * sizeof(*slots));
  if (new_slots == NULL) return false;
  th__free(slots);
  slots = new_slots;
  n_slots = more;
  for (size_t i = 0; i < n_texts; i++)
    slots[slot_of(texts[i], strlen(texts[i]))] = (uint32_t)(i + 1);
  return true;
}

uint32_t th__trace_names_intern(const char *name, const char **text) {
  size_t length = strnlen(name, TH__TRACE_NAME - 1);
  *text = "(other)";
  if (!make_room()) return 0;
  size_t slot = slot_of(name, length);
  if (slots[slot] == 0) {
    if (n_texts == MOST_NAMES) return 0;
    char *copy = th__alloc(length + 1);
    if (copy == NULL) return 0;
    memcpy(copy, name, length);
    copy[length] = 0;
    texts[n_texts++] = copy;
    slots[slot] = (uint32_t)n_texts;
  }
  *text = texts[slots[slot] - 1];
  return slots[slot];
}

size_t th__trace_names_count(void) { return n_texts + 1; }

const char *th__trace_names_at(size_t index) { return index == 0 ? "(other)" : texts[index - 1]; }

void th__trace_names_free(void) {
  for (size_t i = 0; i < n_texts; i++) th__free(texts[i]);
  th__free(texts);
  th__free(slots);
  th__trace_names_forget();
}

void th__trace_names_forget(void) {
  texts = NULL;
  slots = NULL;
  n_texts = n_slots = 0;
}
