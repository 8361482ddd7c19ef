# One set of warnings for both compilers, errors everywhere; tests have to live with Criterion's macros.
set(TH_WARNINGS -Wall -Wextra -Werror -Wshadow -Wundef -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings
    -Wdouble-promotion -Wvla -Wpointer-arith -Wno-unused-parameter)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  list(APPEND TH_WARNINGS -Wlogical-op)
else()
  # gcc's form of the first knows that `.in = {2}` is meant; rows that call libm cannot be vectorised and need not be.
  list(APPEND TH_WARNINGS -Wno-missing-field-initializers -Wno-pass-failed)
endif()
set(TH_TEST_WARNINGS -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers)
