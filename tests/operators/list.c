/* Prints docs/operators.md: the public functions on arrays by the headers' sections, each with what the registry says of its
 * operator and what a call of it on the meta device gives. `list ROOT HEADER...`: the sources are looked through for the
 * file that has an operator's formula. */
#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/accuracy.h"
#include "operators/headers.h"
#include "operators/probe.h"
#include "ops/cuda/cuda.h"
#include "support/lagdevice.h"
#include "thrum/thrum.h"

static header_function functions[HEADER_FUNCTIONS];
static int n_functions;
static const char *root;

/* --- what is known of a name --- */

static const header_function *find_function(const char *name) {
  for (int i = 0; i < n_functions; i++)
    if (strcmp(functions[i].name, name) == 0) return &functions[i];
  return NULL;
}

/* Forms of an operator stand in its row. */
static const char *const forms[][2] = {{"_scalar", "scalar"},
                                       {"_inplace", "in place"},
                                       {"_scalar_inplace", "scalar in place"},
                                       {"_like", "like"}};
enum { FORMS = sizeof forms / sizeof *forms };

static bool is_form(const char *name) {
  for (int i = 0; i < FORMS; i++) {
    size_t n = strlen(name), m = strlen(forms[i][0]);
    char base[80];
    if (n <= m || strcmp(name + n - m, forms[i][0]) != 0) continue;
    snprintf(base, sizeof base, "%.*s", (int)(n - m), name);
    if (find_function(base)) return true;
  }
  return false;
}

/* Functions of an operator, and all of the headers that are about operators alone. */
static bool is_listed(const header_function *f) {
  return (th__op_find(f->name) || strcmp(f->header, "array.h") != 0) && !is_form(f->name);
}

/* --- the file with the formula --- */

typedef struct source {
  char *path, *text;
} source;
static source rows[64];
static int n_rows;

static void load_rows(void) {
  char pattern[4096];
  glob_t found;
  snprintf(pattern, sizeof pattern, "%s/ops/*/*.def", root);
  if (glob(pattern, 0, NULL, &found) != 0) return;
  for (size_t i = 0; i < found.gl_pathc && n_rows < 64; i++)
    rows[n_rows++] = (source){found.gl_pathv[i], headers_load(found.gl_pathv[i])};
}

/* Whether text has a line that begins with MACRO(name. */
static bool has_row(const char *text, const char *name) {
  for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
    size_t n = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"), m = strlen(name);
    const char *first = line + n + 1;
    if (n > 3 && line[n] == '(' && strncmp(first, name, m) == 0 && strchr(",) ", first[m]))
      return true;
  }
  return false;
}

#define TH_FAMILY(family) TH_FAMILY_TABLE(family);
#include "ops/families.def"
#undef TH_FAMILY
static const struct {
  const char *name;
  const th_op *const *ops;
} families[] = {
#define TH_FAMILY(family) {#family, th__family_##family},
#include "ops/families.def"
#undef TH_FAMILY
};

/* A family's file is in one of the folders; what launches its kernels on CUDA devices may have its name. */
static const char *file_of(const char *family) {
  static char name[256];
  char pattern[4096];
  glob_t found;
  snprintf(pattern, sizeof pattern, "%s/ops{,/*}/%s.c", root, family);
  if (glob(pattern, GLOB_BRACE, NULL, &found) != 0) return "";
  for (size_t i = 0; i < found.gl_pathc; i++)
    if (!strstr(found.gl_pathv[i], "/ops/cuda/"))
      snprintf(name, sizeof name, "%s", found.gl_pathv[i] + strlen(root) + 1);
  globfree(&found);
  return name;
}

static const char *source_of(const th_op *op) {
  for (int i = 0; i < n_rows; i++)
    if (has_row(rows[i].text, op->name)) return rows[i].path + strlen(root) + 1;
  for (size_t f = 0; f < sizeof families / sizeof *families; f++)
    for (const th_op *const *o = families[f].ops; *o; o++)
      if (*o == op) return file_of(families[f].name);
  return "";
}

/* --- cells --- */

static void print_types(uint32_t types) {
  static const struct {
    uint32_t types;
    const char *name;
  } sets[] = {{TH_ANY, "all"},         {TH_NUMBERS, "numbers"},
              {TH_FLOATS, "floats"},   {TH_INTS | TH_BOOLS, "integers, bool"},
              {TH_INTS, "integers"},   {TH_SINTS | TH_FLOATS, "signed, floats"},
              {TH_SINTS, "signed"},    {TH_UINTS, "unsigned"},
              {TH_SINGLES, "f32, f64"}};
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
    if (sets[i].types == types) {
      fputs(sets[i].name, stdout);
      return;
    }
  const char *comma = "";
  for (int t = 0; t < TH_DTYPE_COUNT; t++)
    if (types & TH_BIT(t)) printf("%s%s", comma, th_dtype_name((th_dtype)t)), comma = ", ";
}

/* "all", or "all: i64 of bool, i8; else the same". */
static void print_results(const probe_types *p) {
  uint32_t same = 0;
  const char *before = ": ";
  print_types(p->accepted);
  for (int t = 0; t < TH_DTYPE_COUNT; t++)
    if ((p->accepted & TH_BIT(t)) && p->result[t] == (th_dtype)t) same |= TH_BIT(t);
  for (int r = 0; r < TH_DTYPE_COUNT; r++) {
    uint32_t of = 0;
    for (int t = 0; t < TH_DTYPE_COUNT; t++)
      if ((p->accepted & TH_BIT(t)) && (int)p->result[t] == r) of |= TH_BIT(t);
    if (!(of & ~same)) continue; /* none, or only r itself */
    printf("%s%s", before, th_dtype_name((th_dtype)r));
    before = "; ";
    if (of == p->accepted) return;
    fputs(" of ", stdout);
    print_types(of & ~same);
  }
}

static const char *gradient_of(const th_op *op) {
  return op->vjp ? "yes" : (op->flags & TH_OP_FLAT) ? "zero" : "";
}

static void print_devices(const th_op *op, const probe_types *p, bool probed) {
  fputs("cpu", stdout);
  if (probed && p->meta == p->accepted) fputs(", meta", stdout);
  bool on_cuda = (op->flags & (TH_OP_VIEW | TH_OP_TRANSFER)) || th__kernel_get(op, TH_CUDA);
  if (on_cuda) fputs(", cuda", stdout);
}

/* Bars would end the cell. */
static void print_cell(const char *text) {
  for (; *text; text++) {
    if (*text == '|') putchar('\\');
    putchar(*text);
  }
}

static void print_forms(const char *name) {
  const char *comma = "";
  for (int i = 0; i < FORMS; i++) {
    char form[96];
    snprintf(form, sizeof form, "%s%s", name, forms[i][0]);
    if (find_function(form)) printf("%s%s", comma, forms[i][1]), comma = ", ";
  }
}

static void print_function(const header_function *f) {
  const th_op *op = th__op_find(f->name);
  probe_types types;
  printf("| `%s` | ", f->signature);
  print_cell(f->text);
  fputs(" | ", stdout);
  bool probed = op && probe_operator(op, &types);
  if (probed) print_results(&types);
  printf(" | %s | ", op ? gradient_of(op) : "by its parts");
  print_forms(f->name);
  fputs(" | ", stdout);
  if (op) print_devices(op, &types, probed);
  printf(" | %s | %s |\n", accuracy_of(f->name), op ? source_of(op) : f->header);
}

/* "Unary: same shape." -> a heading, and the rest as a paragraph. */
static void print_section(const char *section) {
  size_t n = strcspn(section, ".:");
  printf("\n## %.*s\n", (int)n, *section ? section : "Others");
  const char *rest = section + n + strspn(section + n, ".: ");
  if (*rest) printf("%c%s\n", toupper((unsigned char)*rest), rest + 1);
  puts("\n| function | | types: result | gradient | forms | devices | accuracy | source |\n"
       "|---|---|---|---|---|---|---|---|");
}

/* --- operators without a function of their name --- */

static void print_inner(void) {
  const char *comma = "";
  puts("\n## Inner operators\nWithout a function of their own: derivatives, and parts of the "
       "functions above. They show in traces.\n");
  for (int i = 0; i < th__op_count(); i++) {
    const char *name = th__op_at(i)->name;
    if (find_function(name)) continue;
    printf("%s`%s`", comma, name);
    comma = ", ";
  }
  puts("");
}

static void print_head(void) {
  int listed = 0, gradients = 0;
  for (int i = 0; i < n_functions; i++) listed += is_listed(&functions[i]);
  for (int i = 0; i < th__op_count(); i++) gradients += th__op_at(i)->vjp != NULL;
  printf("# Operators\n\n"
         "Made by `./run docs` from the headers and the registry; a test compares it with them. %d "
         "functions, forms not "
         "counted; %d\noperators in the registry, %d of them with a gradient.\n\n"
         "- **types: result**: element types accepted and, where it is another, the result's. "
         "numbers = all but bool.\n"
         "- **gradient**: yes; zero wherever it exists; nothing = a backward through it fails; by "
         "its parts = made of other "
         "functions.\n"
         "- **forms**: functions of the same name with `_scalar`, `_inplace`, `_scalar_inplace`, "
         "`_like`.\n"
         "- **devices**: cuda = has a kernel of its own (or needs none); others go over the CPU "
         "there.\n"
         "- **accuracy**: largest error of f32 and f64 in ulp that the tests let pass; nothing = "
         "not an elementary function.\n"
         "- **source**: the file with the row or the record.\n",
         listed, th__op_count(), gradients);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  root = argv[1];
  for (int i = 2; i < argc; i++) {
    n_functions = headers_read(argv[i], functions, n_functions);
    if (n_functions < 0) {
      fprintf(stderr, "%s: cannot be read\n", argv[i]);
      return 1;
    }
  }
  load_rows();
  lag_install(3);
  th__cuda_kernels_set();
  print_head();
  const char *section = NULL;
  for (int i = 0; i < n_functions; i++) {
    if (!is_listed(&functions[i])) continue;
    if (!section || strcmp(section, functions[i].section) != 0)
      print_section(section = functions[i].section);
    print_function(&functions[i]);
  }
  print_inner();
  return th_shutdown() == TH_OK ? 0 : 1;
}
