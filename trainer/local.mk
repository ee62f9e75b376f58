# trainer: part of the top Makefile.am
