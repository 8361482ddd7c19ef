# cmake -DOUT=FILE.c -DHTML=... -DCSS=... "-DJS=a.js;b.js" -P embed.cmake: the page's files as arrays of a C file.
set(text "#include \"trace/page.h\"\n\n")
foreach(part HTML CSS JS)
  set(hex "")
  foreach(file ${${part}})
    file(READ ${file} bytes HEX)
    string(APPEND hex ${bytes})
  endforeach()
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  string(REGEX REPLACE "(0x0a,)" "\\1\n" hex "${hex}") # a line of the file is a line of the array
  string(TOLOWER ${part} name)
  string(APPEND text "const char page_${name}[] = {${hex}0};\n")
endforeach()
file(WRITE ${OUT} "${text}")
