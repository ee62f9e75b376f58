# packaging: part of the top Makefile.am
EXTRA_DIST += packaging/deps.sh
