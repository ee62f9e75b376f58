# man: part of the top Makefile.am
