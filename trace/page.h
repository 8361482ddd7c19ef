/* The parts of the HTML page, put into the program by CMake from trace/page. */
#ifndef THRUM_TRACE_PAGE_H
#define THRUM_TRACE_PAGE_H

extern const char
    page_html[]; /* with the marks @TITLE@, @STYLE@, @DATA@, @SCRIPT@ and no other '@' */
extern const char page_css[];
extern const char page_js[];

#endif
