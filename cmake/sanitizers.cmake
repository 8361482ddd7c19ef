# TH_SANITIZE applies to everything in the tree, tests included.
if(TH_SANITIZE)
  add_compile_options(-fsanitize=${TH_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -g)
  add_link_options(-fsanitize=${TH_SANITIZE})
endif()
