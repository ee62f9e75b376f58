# daemon: part of the top Makefile.am
