# web: part of the top Makefile.am
