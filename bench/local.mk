# bench: part of the top Makefile.am
