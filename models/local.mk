# models: part of the top Makefile.am
