# cli: part of the top Makefile.am
