# packaging: part of the top Makefile.am
