# tests: part of the top Makefile.am
