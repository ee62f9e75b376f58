/* The page's files. */
#ifndef JF_DAEMON_API_PAGE_H
#define JF_DAEMON_API_PAGE_H

struct jf_call;

void jf_page_serve(struct jf_call *call);

#endif
