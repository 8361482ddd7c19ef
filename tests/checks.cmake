# Tests that are scripts: the runner's self-test, lint, the install test.
add_test(NAME runner.selftest COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/runner/check ${CMAKE_C_COMPILER}
         ${CMAKE_BINARY_DIR}/runner-check)
set_tests_properties(runner.selftest PROPERTIES TIMEOUT 300 LABELS runner)
