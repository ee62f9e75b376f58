# data: part of the top Makefile.am
EXTRA_DIST += \
	data/digits/0.png \
	data/digits/1.png \
	data/digits/2.png \
	data/digits/3.png \
	data/digits/4.png \
	data/digits/5.png \
	data/digits/6.png \
	data/digits/7.png \
	data/digits/8.png \
	data/digits/9.png \
	data/digits/make-digits
