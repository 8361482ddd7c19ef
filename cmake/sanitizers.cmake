# TH_SANITIZE ("address,undefined" or "thread") applies to everything in the tree, tests included.
if(TH_SANITIZE)
  add_compile_options(-fsanitize=${TH_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TH_SANITIZE})
endif()
